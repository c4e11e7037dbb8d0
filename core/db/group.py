"""Lets the first of several threads do the work of all of them in one go.

Each waits as long as it would alone; what costs once for all, a flush to the disk, is paid once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

Means = TypeVar("Means")
Result = TypeVar("Result")


class Part(Generic[Means]):
    """One thread's piece of work, and its result."""

    def __init__(self, work: Callable[[Means], Any]) -> None:
        self._work = work
        self._result: Any = None
        self.done = False
        self.error: BaseException | None = None

    def do(self, means: Means) -> None:
        """Do the work and keep the result. Raises what the work raises."""
        self._result = self._work(means)

    def result(self) -> Any:
        """Return the result, or raise the error of the work."""
        if self.error is not None:
            raise self.error
        return self._result


class Group(Generic[Means]):
    """Does what its threads want by ``do_all``, which is given all that waits just then.

    An error that ``do_all`` raises is everybody's: then nothing of the group was done.
    """

    def __init__(self, do_all: Callable[[Sequence[Part[Means]]], None]) -> None:
        self._do_all = do_all
        self._waiting: list[Part[Means]] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def do(self, work: Callable[[Means], Result]) -> Result:
        """Return what ``work`` returned once the group it was part of is done."""
        part = Part(work)
        with self._lock:
            self._waiting.append(part)
        with self._turn:
            if not part.done:
                with self._lock:
                    parts, self._waiting = self._waiting, []
                self._lead(parts)
        return cast(Result, part.result())

    def _lead(self, parts: Sequence[Part[Means]]) -> None:
        try:
            self._do_all(parts)
        except BaseException as error:
            for part in parts:
                part.error = error
        finally:
            for part in parts:
                part.done = True
