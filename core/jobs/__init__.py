"""The life of a job and of an image: the only writer of their states.

`arrival` takes a job's files in, `submission` cuts it into shards, cancels and retries it, `shards`
is what a worker does under its lease, `recovery` takes it from a dead one, `dispatch` decides what
is rung for next and sweeps up what crashes left, `queries` and `differential` read, `lock` says in
which order rows are locked. No bytes, no Celery and no pages here.
"""

from core.jobs.arrival import Entry, announce, create, receive, refuse, require_open, take
from core.jobs.differential import (
    ClassCount,
    Differential,
    calibrated,
    differential,
    few_shot,
    models_of,
    to_check,
)
from core.jobs.dispatch import WORKER_SECONDS, Swept, dispatch, sweep
from core.jobs.queries import (
    Counts,
    Row,
    counts,
    export_rows,
    image_states,
    images_per_second,
    page_of_jobs,
    seconds_left,
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
    "WORKER_SECONDS",
    "Claim",
    "ClassCount",
    "Counts",
    "Differential",
    "Entry",
    "Failure",
    "Row",
    "Swept",
    "Verdict",
    "Work",
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
    "forgive",
    "image_states",
    "images_per_second",
    "known_verdicts",
    "models_of",
    "page_of_jobs",
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
    "submit",
    "sweep",
    "take",
    "to_check",
]
