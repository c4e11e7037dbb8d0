"""The states, each an enum whose docstring draws its transitions.

`core.jobs` changes the states of jobs, images and shards, `core.made.making` those of reports and
explanations, `core.registry` those of models.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """The life of a job.

    receiving ──▶ queued ──▶ running ──▶ finished
        │ │         │           │  └───▶ failed      nothing could be classified
        │ └─────────┼───────────┼──────▶ failed      nothing was accepted
        └───────────┴───────────┴──────▶ cancelled
    finished, failed, cancelled ──▶ queued           by a retry
    """

    RECEIVING = "receiving"
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


# A job in one of these states has stopped; a retry starts it again.
ENDED = frozenset({JobState.FINISHED, JobState.FAILED, JobState.CANCELLED})


class ImageState(StrEnum):
    """The life of one submitted file.

    expected ──▶ received ──▶ classified
        │           ├───────▶ failed       passed intake, but could not be decoded; may be retried
        │           └───────▶ duplicate    the same bytes as an earlier file of this job
        └─────────▶ refused                not accepted, or never arrived
    refused ──▶ received                   sent again while the job still receives
    failed, classified                     stay as they are until a new run has judged them
    """

    EXPECTED = "expected"
    RECEIVED = "received"
    CLASSIFIED = "classified"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    FAILED = "failed"


class ShardState(StrEnum):
    """The life of a shard, the unit of work.

    waiting ──▶ published ──▶ leased ──▶ done     a late message may take waiting to leased
       ▲            │            │ ├───▶ split      it killed its workers; its halves go on
       └────────────┴────────────┘ │
    waiting, published, leased ────┴───▶ dropped    its job was cancelled
    """

    WAITING = "waiting"
    PUBLISHED = "published"
    LEASED = "leased"
    DONE = "done"
    SPLIT = "split"
    DROPPED = "dropped"


# Shards in one of these states still have work to do.
LIVE_SHARDS = frozenset({ShardState.WAITING, ShardState.PUBLISHED, ShardState.LEASED})


class Lane(StrEnum):
    """The queues, in the order in which every worker serves them."""

    INTERACTIVE = "interactive"
    REPORTS = "reports"
    BATCH = "batch"


class MakingState(StrEnum):
    """The life of anything made on demand, such as a report.

    waiting ──▶ making ──▶ ready
       ▲           ├─────▶ failed
       └───────────┘                     its worker died
    failed ──▶ waiting                   an explanation may be asked for again
    ready ──▶ waiting                    so may copies that are gone
    """

    WAITING = "waiting"
    MAKING = "making"
    READY = "ready"
    FAILED = "failed"


class ModelState(StrEnum):
    """The life of a model bundle, of which at most one is active.

    candidate ◀──▶ shadow ──▶ active       a shadow judges beside the active one, and is not shown
        │  ▲  └──────────────▶ │
        │  └───────────────────┘           when another is activated, or by a rollback
    candidate, shadow ──▶ retired          gets no new jobs; its results stay
    retired ──▶ candidate
    """

    CANDIDATE = "candidate"
    SHADOW = "shadow"
    ACTIVE = "active"
    RETIRED = "retired"


class TokenKind(StrEnum):
    """What a token is for.

    api       opens the API, for a program
    machine   opens the API, for the command line of the machine that runs `up`
    sign_in   opens a browser session, once
    code      a password was right; with the code of the second factor it opens a session, once
    """

    API = "api"
    MACHINE = "machine"
    SIGN_IN = "sign_in"
    CODE = "code"


# A token of one of these kinds opens the API.
API_TOKENS = frozenset({TokenKind.API, TokenKind.MACHINE})
