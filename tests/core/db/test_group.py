"""What several threads want at one moment is done in one go, and each gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.db.group import Group, Part


class Ledger:
    """Does what is wanted in groups, and remembers them; the first is held until `go`."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.began, self.go = threading.Event(), threading.Event()

    def write(self, parts: Sequence[Part[int]]) -> None:
        self.groups.append(len(parts))
        self.began.set()
        assert self.go.wait(10)
        for part in parts:
            try:
                part.do(10)
            except KeyError as error:
                part.error = error


def _wait_for(group: Group[int], count: int) -> None:
    while len(group._waiting) < count:
        threading.Event().wait(0.01)


def test_what_comes_while_one_is_written_is_written_together() -> None:
    ledger = Ledger()
    group = Group(ledger.write)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(group.do, lambda means: means)
        assert ledger.began.wait(10)
        rest = [pool.submit(group.do, lambda means, n=n: means + n) for n in range(5)]
        _wait_for(group, 5)
        ledger.go.set()
        assert [future.result() for future in (first, *rest)] == [10, 10, 11, 12, 13, 14]
    assert ledger.groups == [1, 5]


def test_an_error_of_one_is_its_own_and_an_error_of_the_group_is_everybodys() -> None:
    ledger = Ledger()
    group = Group(ledger.write)

    def fail(error: Exception) -> int:
        raise error

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(group.do, lambda means: means)
        assert ledger.began.wait(10)
        failing = pool.submit(group.do, lambda _: fail(KeyError("mine")))
        other = pool.submit(group.do, lambda means: means)
        _wait_for(group, 2)
        ledger.go.set()
        assert (first.result(), other.result()) == (10, 10)
        with pytest.raises(KeyError, match="mine"):
            failing.result()
    with pytest.raises(OSError, match="the disk"):
        group.do(lambda _: fail(OSError("the disk")))
