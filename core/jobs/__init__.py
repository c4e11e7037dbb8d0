"""The life of a job and of an image: the only writer of their states.

`arrival` takes a job's files in, `submission` cuts it into shards, cancels and retries it, `shards`
is what a worker does under its lease, `recovery` takes it from a dead one, `tallies` counts what
stands, `dispatch` decides what is rung for next and sweeps up what crashes left, `queries` and
`differential` read, `lock` says in which order rows are locked. No bytes, no Celery and no pages
here.
"""

from core.jobs.arrival import Entry, announce, create, receive, refuse, require_open, take
from core.jobs.differential import (
    ClassCount,
    Differential,
    Judge,
    calibrated,
    differential,
    few_shot,
    judges,
    to_check,
)
from core.jobs.dispatch import Swept, dispatch, go_on, in_turn, sweep, waiting_interactive
from core.jobs.lock import LIVE
from core.jobs.queries import (
    LATELY_SECONDS,
    WORKER_SECONDS,
    Counts,
    Fleet,
    Progress,
    Row,
    Standing,
    alive,
    counts,
    export_rows,
    fleet,
    images_per_second,
    live_workers,
    page_of_jobs,
    progress,
    seconds_left,
    share_done,
    standing,
)
from core.jobs.recovery import forgive, release
from core.jobs.shards import (
    Claim,
    Failure,
    Verdict,
    Work,
    claim,
    known_verdicts,
    record,
    record_shadow,
    renew,
    settle,
)
from core.jobs.submission import cancel, retry_failed, run_again, submit

__all__ = [
    "LATELY_SECONDS",
    "LIVE",
    "WORKER_SECONDS",
    "Claim",
    "ClassCount",
    "Counts",
    "Differential",
    "Entry",
    "Failure",
    "Fleet",
    "Judge",
    "Progress",
    "Row",
    "Standing",
    "Swept",
    "Verdict",
    "Work",
    "alive",
    "announce",
    "calibrated",
    "cancel",
    "claim",
    "counts",
    "create",
    "differential",
    "dispatch",
    "export_rows",
    "few_shot",
    "fleet",
    "forgive",
    "go_on",
    "images_per_second",
    "in_turn",
    "judges",
    "known_verdicts",
    "live_workers",
    "page_of_jobs",
    "progress",
    "receive",
    "record",
    "record_shadow",
    "refuse",
    "release",
    "renew",
    "require_open",
    "retry_failed",
    "run_again",
    "seconds_left",
    "settle",
    "share_done",
    "standing",
    "submit",
    "sweep",
    "take",
    "to_check",
    "waiting_interactive",
]
