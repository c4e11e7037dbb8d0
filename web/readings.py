"""Who read which job recently, so that the audit trail holds one entry and not hundreds."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

_READ_AGAIN_SECONDS = 3600.0
_READINGS = 20_000


class Readings:
    """The readings that this process has recorded within the hour, by person and job.

    A job's page is polled every second or two, and its gallery a hundred times; an entry for each
    would make every poll a write under the trail's one lock. One entry per person, job, hour and
    process says as much. After a restart there may be one more.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, person_id: int, job_id: int) -> bool:
        """Say whether this reading needs recording, and count it as recorded."""
        key, now = (person_id, job_id), time.monotonic()
        with self._lock:
            if self._until.get(key, 0.0) > now:
                return False
            self._until[key] = now + _READ_AGAIN_SECONDS
            self._until.move_to_end(key)
            if len(self._until) > _READINGS:
                self._until.popitem(last=False)
            return True

    def forget(self, person_id: int, job_id: int) -> None:
        """Have the next reading recorded: this one could not be."""
        with self._lock:
            self._until.pop((person_id, job_id), None)
