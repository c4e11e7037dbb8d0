"""The life of a job and of an image: the only writer of their states.

`arrival` takes a job's files in and names what was skipped, `submission` cuts it into shards,
cancels and retries it, `shards` is what a worker does under its lease, `recovery` takes it from a
dead one, `tallies` counts what stands, `dispatch` decides what is rung for next and sweeps up what
crashes left, `queries` and `differential` read, `lock` says in which order rows and bytes are
locked. `deletion` deletes and restores, `purging` then removes rows, and bytes that no row needs;
`holdings` says whose bytes are. `intentions` makes a repeated request harmless. No Celery and no
pages here.

What several rooms call is named here; the rest is asked for where it is.
"""

from core.jobs.arrival import (
    Entry,
    announce,
    count_skipped,
    create,
    receive,
    refuse,
    require_open,
    skip,
    skipped,
    take,
)
from core.jobs.deletion import delete, delete_pictures, end_of_retention, keep_pictures, restore
from core.jobs.differential import (
    ClassCount,
    Differential,
    calibrated,
    differential,
    few_shot,
    judges,
    to_check,
)
from core.jobs.dispatch import dispatch, go_on, in_turn, next_waiting, sweep, waiting_interactive
from core.jobs.purging import purge
from core.jobs.queries import (
    Counts,
    JobOverview,
    Progress,
    Row,
    counts,
    export_rows,
    fleet,
    images_per_second,
    live_workers,
    overview,
    page_of_jobs,
    progress,
    seconds_left,
    share_done,
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
from core.jobs.submission import cancel, retry_failed, run_again, submit

__all__ = [
    "ClassCount",
    "Counts",
    "Differential",
    "Entry",
    "Failure",
    "JobOverview",
    "Progress",
    "Row",
    "ShardClaim",
    "Work",
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
    "overview",
    "page_of_jobs",
    "pass_on",
    "progress",
    "purge",
    "receive",
    "record",
    "record_shadow",
    "refuse",
    "release",
    "require_open",
    "restore",
    "retry_failed",
    "run_again",
    "seconds_left",
    "settle",
    "share_done",
    "skip",
    "skipped",
    "submit",
    "sweep",
    "take",
    "to_check",
    "waiting_interactive",
]
