"""The life of a job and of an image: the only writer of their states.

`submission` takes a job from its first file into the queue and back by a retry, `shards` is what a
worker does under its lease, `dispatch` decides what is rung for next and mends what crashes left,
`queries` reads. No bytes, no Celery and no pages here.
"""

from core.jobs.dispatch import WORKER_SECONDS, Swept, dispatch, sweep
from core.jobs.queries import (
    ClassCount,
    Counts,
    Row,
    counts,
    differential,
    export_rows,
    image_states,
    page_of_jobs,
    seconds_left,
)
from core.jobs.shards import (
    Claim,
    Failure,
    Verdict,
    Work,
    claim,
    known_verdicts,
    record,
    renew,
    settle,
)
from core.jobs.submission import (
    Entry,
    announce,
    cancel,
    create,
    receive,
    refuse,
    retry_failed,
    run_again,
    submit,
)

__all__ = [
    "WORKER_SECONDS",
    "Claim",
    "ClassCount",
    "Counts",
    "Entry",
    "Failure",
    "Row",
    "Swept",
    "Verdict",
    "Work",
    "announce",
    "cancel",
    "claim",
    "counts",
    "create",
    "differential",
    "dispatch",
    "export_rows",
    "image_states",
    "known_verdicts",
    "page_of_jobs",
    "receive",
    "record",
    "refuse",
    "renew",
    "retry_failed",
    "run_again",
    "seconds_left",
    "settle",
    "submit",
    "sweep",
]
