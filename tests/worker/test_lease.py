"""Keeping a lease while work goes on."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy.exc import OperationalError

from core.errors import LeaseLost
from worker.lease import renewing


class Renewed:
    """A lease that always holds, and counts."""

    times = 0

    def __call__(self) -> bool:
        self.times += 1
        return True


def test_a_lease_is_renewed_three_times_in_its_length() -> None:
    renewed = Renewed()
    with renewing(renewed, 0.6):
        time.sleep(1.1)
    assert 3 <= renewed.times <= 5


def test_renewing_ends_with_the_work() -> None:
    renewed = Renewed()
    with renewing(renewed, 0.1):
        time.sleep(0.1)
    done = renewed.times
    time.sleep(0.15)
    assert renewed.times == done
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_work_whose_lease_was_lost_is_told_so() -> None:
    with renewing(lambda: False, 0.1) as lease:
        lease.check()
        time.sleep(0.2)
        with pytest.raises(LeaseLost):
            lease.check()


def test_a_database_that_is_away_does_not_stop_the_work() -> None:
    def away() -> bool:
        raise OperationalError("renew", {}, OSError("no route"))

    with renewing(away, 0.1) as lease:
        time.sleep(0.2)
        lease.check()


def test_what_the_work_raises_comes_through() -> None:
    with pytest.raises(KeyError), renewing(lambda: True, 1):
        raise KeyError
