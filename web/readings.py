"""Who read which job lately: what keeps the audit trail of readings short."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

_READ_AGAIN_SECONDS = 3600.0
_READINGS = 20_000


class Readings:
    """Whose reading of which job this process has written down within the hour.

    A job's page is asked for again every second or two and its gallery a hundred times; an entry
    each would make every look a write, under the one lock of the trail. An entry a person, job,
    hour and process tells as much. After a restart there may be one more.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, person_id: int, job_id: int) -> bool:
        """Say whether this reading is to be written down, and take it as written."""
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
        """Have the next reading written down after all."""
        with self._lock:
            self._until.pop((person_id, job_id), None)
