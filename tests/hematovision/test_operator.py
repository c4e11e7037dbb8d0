"""The audit trail names who sat at the command line, and at which machine."""

from __future__ import annotations

import os
import socket

import pytest

from hematovision.operator import operator

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


def test_the_operator_is_the_user_of_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "anna")
    actor = operator()
    assert (actor.name, actor.address) == ("command line (anna)", socket.gethostname())
    assert actor.person_id is None, "no account of ours acts"


def test_a_user_number_without_a_name_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number of its own."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_711_999)
    assert operator().name == "command line (unknown)"
