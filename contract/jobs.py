"""Jobs: opened, submitted, followed, deleted and restored."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contract.base import Answer, Cursor, Request, Share, Time
from contract.cells import CellClass
from contract.models import ModelIdentity
from lexicon.outcomes import Outcome

JobState = Annotated[
    str,
    Field(
        description="`receiving`, `queued`, `running`, and at the end `finished`, `failed` or "
        "`cancelled`."
    ),
]


class ModelChoice(Request):
    """The model that a job is given to."""

    model: str = Field(
        default="",
        description='The start of its digest, or "active"; if empty, the active model.',
    )


class NewJob(ModelChoice):
    """What a job is opened with; names that are too long for the table are cut."""

    name: str = ""
    reference: str = Field(default="", description="An order or specimen number, for example.")


class Submission(ModelChoice):
    """How a job is submitted."""

    without_missing: bool = Field(
        default=False, description="Submit without announced files that never arrived."
    )


class Pictures(Answer):
    """Until when the pictures of a job are there."""

    kept_until: Time | None = Field(description="When they will be deleted, as was asked for.")
    deleted_on: Time | None = Field(description="When they will be deleted by the server's rule.")
    gone_at: Time | None = Field(description="When they were deleted.")


class JobCounts(Answer):
    """Where a job's files are. The other numbers always add up to those received."""

    received: int
    classified: int = Field(description="Files that have a result.")
    duplicates: int = Field(description="Files with the same bytes as an earlier one of this job.")
    refused: int = Field(description="Files that were not accepted, or never arrived.")
    failed: int = Field(description="Files that could not be classified.")
    waiting: int = Field(description="Files that no run has classified yet, or never did.")


class JobSummary(Answer):
    """A job as lists show it."""

    id: int
    name: str
    reference: str
    state: JobState
    lane: str = Field(description="`interactive` for a few images, which go first, or `batch`.")
    owner: str = Field(description="The e-mail address of the person who opened it.")
    created_at: Time
    submitted_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    model: ModelIdentity | None = Field(description="Which model it is, or was last, given to.")
    bytes: int = Field(description="How much storage its pictures count for, in bytes.")
    deleted_on: Time | None = Field(description="When the server's rule will delete the job.")
    pictures: Pictures
    counts: JobCounts
    left: int = Field(description="Images that this run has not classified.")
    kept: int = Field(description="Images that this run could not classify: an older result stays.")
    share_done: Share = Field(description="Part of the files that need nothing more, 0 to 1.")
    images_per_second: float | None = Field(description="The speed of this run, or the last one.")
    seconds_left: float | None = Field(description="An estimate; null if there is none.")
    standstill: str | None = Field(description="A sentence if the job makes no progress: why.")
    url: str = Field(description="The path of its page.")
    to_check: int = Field(description="Cells, uncertain or unfamiliar, that need review.")


class ClassCount(CellClass):
    """The accepted cells of one class."""

    count: int
    share: Share = Field(description="Part of all accepted cells, 0 to 1.")
    low: Share = Field(description="Lower end of the share's 95 % interval (Wilson), 0 to 1.")
    high: Share = Field(description="Upper end of the share's 95 % interval (Wilson), 0 to 1.")


class OutcomeCounts(Answer):
    """The classified cells by outcome."""

    accepted: int
    uncertain: int
    unfamiliar: int

    def of(self, outcome: Outcome) -> int:
        """Return how many cells have this outcome."""
        return {
            Outcome.ACCEPTED: self.accepted,
            Outcome.UNCERTAIN: self.uncertain,
            Outcome.UNFAMILIAR: self.unfamiliar,
        }[outcome]

    @property
    def classified(self) -> int:
        """All cells that have a result."""
        return self.accepted + self.uncertain + self.unfamiliar


class JudgingModel(ModelIdentity):
    """A model whose results count in a job, and for how many images."""

    count: int


class JobDetails(JobSummary):
    """One job with its differential."""

    advice: str = Field(description="What to do if many cells are unfamiliar; empty if few are.")
    classes: list[ClassCount] = Field(description="Accepted cells by class, in display order.")
    outcomes: OutcomeCounts
    judged_by: list[JudgingModel]


class JobPage(Answer):
    """A page of jobs, the newest first."""

    jobs: list[JobSummary]
    next: Cursor | None


class JobReference(Answer):
    """Which job a request was about."""

    id: int


class DeletedJob(Answer):
    """A deleted job: what it was, and until when it can be restored."""

    id: int
    name: str
    reference: str
    owner: str = Field(description="The e-mail address of the person who opened it.")
    created_at: Time
    deleted_at: Time
    restorable_until: Time
    bytes: int = Field(description="How much storage its pictures count for, in bytes.")


class DeletedJobPage(Answer):
    """A page of deleted jobs, the newest first."""

    jobs: list[DeletedJob]
    next: Cursor | None
