"""Parts of pages that many people poll at once: each part is made once for all of them.

Everybody who waits for a running job has its page open, and each page asks every few seconds for
news. A process makes a part once and keeps it for a moment. A page that already has it is told so
in a few bytes, and every page is told when to ask again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from flask import Response, make_response, request

# After this time a part is made again even if its version is the same: it shows estimates and ages.
_KEPT_SECONDS = 10.0
_MOST_PARTS = 128
# How many polls a process answers per second: with more viewers, each polls less often.
_LOOKS_A_SECOND = 30
_VIEWER_SECONDS = 30.0
# For this long per other viewer, a part is taken to be unchanged since it was last checked.
_SHARED_SECONDS = 0.005
_LONGEST_PAUSE = 30.0
PAUSE_HEADER = "X-Look-Again"


@dataclass(slots=True)
class _Part:
    html: str = ""
    tag: str = ""
    version: object = None
    made_at: float = float("-inf")
    checked_at: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


class Parts:
    """The parts that were requested last, and the viewers who poll."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._parts: OrderedDict[Hashable, _Part] = OrderedDict()
        self._viewers: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, key: Hashable, version: Callable[[], object], make: Callable[[], str]
    ) -> tuple[str, str]:
        """Return a part and its tag, which changes with it.

        ``key`` names everything the part depends on, except what ``version`` covers. If several ask
        at once, one makes the part and the others wait.
        """
        part = self._find(key)
        with part.lock:
            now = self._clock()
            if now - part.checked_at >= _SHARED_SECONDS * (len(self._viewers) - 1):
                current, part.checked_at = version(), now
                if current != part.version or now - part.made_at >= _KEPT_SECONDS:
                    part.html, part.version, part.made_at = make(), current, now
                    part.tag = hashlib.sha256(part.html.encode()).hexdigest()[:32]
            return part.html, part.tag

    def _find(self, key: Hashable) -> _Part:
        with self._lock:
            part = self._parts.setdefault(key, _Part())
            self._parts.move_to_end(key)
            while len(self._parts) > _MOST_PARTS:
                self._parts.popitem(last=False)
            return part

    def pause(self, viewer: Hashable, least: float) -> float:
        """Note that somebody polls; return the seconds until they should poll again."""
        now = self._clock()
        with self._lock:
            self._viewers[viewer] = now
            self._viewers.move_to_end(viewer)
            while now - next(iter(self._viewers.values())) > _VIEWER_SECONDS:
                self._viewers.popitem(last=False)
            return min(_LONGEST_PAUSE, max(least, len(self._viewers) / _LOOKS_A_SECOND))


def answer(html: str, tag: str, pause: float) -> Response:
    """Answer a poll, without a body if the page has this part; say when to poll again."""
    response = make_response()
    response.set_etag(tag)
    response.headers[PAUSE_HEADER] = f"{pause:.1f}"
    if request.if_none_match.contains(tag):
        response.status_code = 304
    else:
        response.set_data(html)
    return response
