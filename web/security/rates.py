"""How many requests a person, and all people together, may make in a minute.

Each web process counts in its own memory and allows its share of the limit: with a counter shared
by all processes, every request would wait for it.
"""

from __future__ import annotations

import math
import time

from flask import Flask
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from core.settings import Settings
from web.errors import NotSignedIn, TooManyRequests
from web.security.caller import person

_EVERYBODY = "laboratory"


def connect(app: Flask, settings: Settings) -> None:
    """Register the hook; after `sign_in.connect`, since strangers are not counted here."""
    allowed = (settings.quota_person_requests, settings.quota_laboratory_requests)
    if not any(allowed):
        return
    limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
    for_person, for_all = (
        RateLimitItemPerMinute(math.ceil(requests / settings.web_workers)) if requests else None
        for requests in allowed
    )

    @app.before_request
    def count() -> None:
        try:
            me = str(person().id)
        except NotSignedIn:
            return
        for limit, whose in ((for_person, me), (for_all, _EVERYBODY)):
            if limit and not limiter.hit(limit, whose):
                window = limiter.get_window_stats(limit, whose)
                raise TooManyRequests(max(1, math.ceil(window.reset_time - time.time())))
