"""Answers as a server sends them, whole, for tests of what reads them."""

from __future__ import annotations

from typing import Any

COUNTS = {"received": 7, "classified": 6, "duplicates": 0, "refused": 1, "failed": 0, "waiting": 0}
CLASSES = [
    {"class": "neutrophil", "label": "Neutrophil", "code": "NE", "colour": "#0072B2"}
    | {"few_shot": False, "count": 2, "share": 2 / 3, "low": 0.208, "high": 0.939},
    {"class": "platelet", "label": "Platelet", "code": "PL", "colour": "#999999"}
    | {"few_shot": True, "count": 1, "share": 1 / 3, "low": 0.061, "high": 0.792},
]
JOB: dict[str, Any] = {
    "id": 4,
    "name": "Ward [3]",
    "reference": "",
    "state": "finished",
    "lane": "interactive",
    "owner": "a@laboratory.test",
    "created_at": "2026-03-01T11:00:00+00:00",
    "submitted_at": "2026-03-01T12:00:00+00:00",
    "started_at": None,
    "finished_at": None,
    "model": None,
    "bytes": 2048,
    "deleted_on": None,
    "pictures": {"kept_until": None, "deleted_on": None, "gone_at": None},
    "counts": COUNTS,
    "left": 0,
    "kept": 0,
    "share_done": 1.0,
    "images_per_second": None,
    "seconds_left": None,
    "standstill": None,
    "url": "/jobs/4",
    "to_check": 3,
    "advice": "",
    "classes": CLASSES,
    "outcomes": {"accepted": 3, "uncertain": 2, "unfamiliar": 1},
    "judged_by": [],
}
DELETED = {
    "id": 4,
    "name": "Slide 7",
    "reference": "",
    "owner": "a@laboratory.test",
    "created_at": "2026-03-01T11:00:00+00:00",
    "deleted_at": "2026-03-01T12:00:00+00:00",
    "restorable_until": "2026-03-08T12:00:00+00:00",
    "bytes": 2048,
}
USAGE = {
    "person": {"bytes": 2048, "bytes_allowed": 4096, "open_jobs": 1, "open_jobs_allowed": 5},
    "laboratory": {
        "bytes": 3 * 2**30,
        "bytes_allowed": None,
        "open_jobs": 1200,
        "open_jobs_allowed": None,
    },
}
EMPTY_PAGE: dict[str, Any] = {"jobs": [], "next": None}


def manifest_line(number: int, *, needed: bool) -> dict[str, Any]:
    """Return what is answered for one announced file."""
    state = "expected" if needed else "received"
    return {"id": number, "state": state, "reason": None, "message": None, "needed": needed}
