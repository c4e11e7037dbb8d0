"""The life of a job and of an image: the only writer of their states.

`arrival` takes a job's files in and `skipping` names what is not taken, `submission` cuts it into
shards, cancels and retries it, `shards` is what a worker does under its lease, `recovery` takes it
from a dead one, `tallies` counts what stands, `dispatch` decides what is rung for next and sweeps
up what crashes left, `queries` and `differential` read, `lock` says in which order rows are locked.
`deletion` deletes and restores, `purging` then removes rows, and bytes that no row needs,
`cleaning` looks for bytes that never had one; `holdings` and `keeping` say whose bytes are, and how
deleting them is safe. No Celery and no pages here.
"""

from core.jobs.arrival import Entry, announce, create, receive, refuse, require_open, take
from core.jobs.cleaning import remove_strays, strays
from core.jobs.deletion import (
    delete,
    delete_pictures,
    end_of_retention,
    keep_pictures,
    restore,
)
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
from core.jobs.dispatch import (
    Swept,
    dispatch,
    go_on,
    in_turn,
    next_waiting,
    sweep,
    waiting_interactive,
)
from core.jobs.lock import LIVE
from core.jobs.purging import Purged, note_loose, purge
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
from core.jobs.recovery import held_by, release
from core.jobs.shards import (
    Failure,
    ShardClaim,
    Work,
    claim,
    known_verdicts,
    pass_on,
    record,
    record_shadow,
    settle,
)
from core.jobs.skipping import count_skipped, skip, skipped
from core.jobs.submission import cancel, retry_failed, run_again, submit

__all__ = [
    "LATELY_SECONDS",
    "LIVE",
    "WORKER_SECONDS",
    "ClassCount",
    "Counts",
    "Differential",
    "Entry",
    "Failure",
    "Fleet",
    "Judge",
    "Progress",
    "Purged",
    "Row",
    "ShardClaim",
    "Standing",
    "Swept",
    "Work",
    "alive",
    "announce",
    "calibrated",
    "cancel",
    "claim",
    "count_skipped",
    "counts",
    "create",
    "delete",
    "delete_pictures",
    "differential",
    "dispatch",
    "end_of_retention",
    "export_rows",
    "few_shot",
    "fleet",
    "go_on",
    "held_by",
    "images_per_second",
    "in_turn",
    "judges",
    "keep_pictures",
    "known_verdicts",
    "live_workers",
    "next_waiting",
    "note_loose",
    "page_of_jobs",
    "pass_on",
    "progress",
    "purge",
    "receive",
    "record",
    "record_shadow",
    "refuse",
    "release",
    "remove_strays",
    "require_open",
    "restore",
    "retry_failed",
    "run_again",
    "seconds_left",
    "settle",
    "share_done",
    "skip",
    "skipped",
    "standing",
    "strays",
    "submit",
    "sweep",
    "take",
    "to_check",
    "waiting_interactive",
]
