"""How numbers, times and states are written on a page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from flask import Flask
from markupsafe import Markup

from core.db import utcnow
from core.people import accounts
from core.people.accounts import RoleName
from core.settings import Settings
from core.states import ENDED, JobState
from lexicon import outcomes
from lexicon.words import NOTICE, amount, duration
from web.security.caller import caller_or_none

JOB_STATES = {
    JobState.RECEIVING: ("Receiving files", "arrow-up"),
    JobState.QUEUED: ("Waiting for a worker", "clock"),
    JobState.RUNNING: ("Running", "play"),
    JobState.FINISHED: ("Finished", "check"),
    JobState.FAILED: ("Nothing was classified", "cross"),
    JobState.CANCELLED: ("Cancelled", "stop"),
}


def connect(app: Flask, settings: Settings) -> None:
    """Register the filters and what every page shows."""
    filters: dict[str, Callable[..., object]] = {
        "ago": ago,
        "day": day,
        "thousands": lambda number: f"{number:,}",
        "percent": lambda share: f"{share * 100:.1f} %",
        "duration": duration,
        "filesize": amount,
        "moment": moment,
        "ink": ink,
    }
    app.jinja_env.filters |= filters
    app.jinja_env.globals |= {
        "JOB_STATES": JOB_STATES,
        "NOTICE": NOTICE,
        "ENDED": sorted(ENDED),
        "MARKS": outcomes.MARKS,
        "FEW_IMAGES": outcomes.FEW_IMAGES,
        "calibration": outcomes.calibration,
        "familiarity": outcomes.familiarity,
    }
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    @app.context_processor
    def frame() -> dict[str, Any]:
        return {"laboratory": settings.laboratory, "account": _account()}


def _account() -> dict[str, Any] | None:
    signed_in = caller_or_none()
    if signed_in is None:
        return None
    manages = accounts.has_role(signed_in.user, RoleName.ADMINISTRATOR)
    return {"email": signed_in.user.email, "manages": manages}


def moment(value: str | dt.datetime | None) -> dt.datetime | None:
    """Return a time of a summary as a datetime."""
    return dt.datetime.fromisoformat(value) if isinstance(value, str) else value


def ago(value: str | dt.datetime | None) -> Markup:
    """Return a time relative to now, with the exact time on hover."""
    when = moment(value)
    if when is None:
        return Markup("&ndash;")
    exact = when.strftime("%Y-%m-%d %H:%M:%S UTC")
    text = _relative((utcnow() - when).total_seconds(), when)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(when.isoformat(), exact, text)


def _relative(seconds: float, when: dt.datetime) -> str:
    if seconds < 60:
        return "just now"
    if seconds > 14 * 86400:
        return when.strftime("%Y-%m-%d")
    return f"{duration(seconds, parts=1)} ago"


def day(value: str | dt.datetime | None) -> Markup:
    """Return the day of a future time, with the exact time on hover."""
    when = moment(value)
    if when is None:
        return Markup("&ndash;")
    exact = when.strftime("%Y-%m-%d %H:%M:%S UTC")
    text = when.strftime("%Y-%m-%d")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(when.isoformat(), exact, text)


def ink(colour: str) -> str:
    """Return black or white, whichever reads better on a hex colour (WCAG relative luminance)."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
