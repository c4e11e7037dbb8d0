"""What was answered is there after the power failed right after the last answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.powerloss import WAYS, lose_power
from benchmarks.rig.disks import obstacle
from hematovision.collecting import collect
from tests.system.stack import free_port


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_was_answered_is_gone(way: str, data_folder: Path) -> None:
    if problem := obstacle():
        pytest.skip(f"no power can be cut here: {problem}")
    files = collect([data_folder / "bccd4" / "TEST"])[0][:20]
    loss = lose_power(way, files, free_port())
    assert loss.answered >= 20
    assert loss.gone == 0
