"""Which pages people ask for: every kind, of large jobs as often as of any others, at any depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import urlencode

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks.history import ADMINISTRATOR, BUSIEST, CLINICIAN
from core.states import ImageState, JobState
from core.tables import Image, Job
from lexicon.outcomes import Outcome
from web.listing.cursors import after_image, after_job
from web.listing.gallery import ORDERS, Bin

_LARGEST = 10
_CONFIDENCE_ORDERS = ("high", "low")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of one person, named by their address."""

    person: str
    path: str


class Visits:
    """Draws visits from what a database holds."""

    def __init__(self, session: Session, rng: Random) -> None:
        self._rng = rng
        self._session = session
        self._jobs = list(session.scalars(select(Job).order_by(Job.created_at)))
        sizes = select(Image.job_id, func.count()).group_by(Image.job_id)
        self._sizes = {job_id: count for job_id, count in session.execute(sizes)}
        self._largest = sorted(self._jobs, key=lambda job: -self._sizes[job.id])[:_LARGEST]

    def draw(self, number: int) -> dict[str, list[Visit]]:
        """Return ``number`` visits of each kind of page."""
        kinds: dict[str, Callable[[], Visit]] = {
            "job list, administrator": lambda: self._list(ADMINISTRATOR),
            "job list, clinician": lambda: self._list(CLINICIAN),
            "job list, laboratory": lambda: self._list(BUSIEST),
            "job list, searched": self._search,
            "job page": lambda: self._of_job("/jobs/{}"),
            "job summary": lambda: self._of_job("/jobs/{}/summary"),
            "gallery, first page": lambda: self._gallery("/jobs/{}/gallery", deep=False),
            "gallery, deep": lambda: self._gallery("/jobs/{}/gallery", deep=True),
            "image page": self._image,
            "API: jobs": lambda: Visit(ADMINISTRATOR, f"/api/v1/jobs?{self._before()}"),
            "API: job": lambda: self._of_job("/api/v1/jobs/{}"),
            "API: images": lambda: self._gallery("/api/v1/jobs/{}/images", deep=True),
            "API: image": lambda: Visit(ADMINISTRATOR, f"/api/v1/images/{self._any_image().id}"),
        }
        return {kind: [draw() for _ in range(number)] for kind, draw in kinds.items()}

    def _before(self) -> str:
        """The first page as often as a deep one."""
        if self._rng.random() < 0.5:
            return ""
        return urlencode({"before": after_job(self._rng.choice(self._jobs))})

    def _list(self, person: str) -> Visit:
        state = self._rng.choice(["", "", *JobState])
        return Visit(person, f"/jobs?state={state}&{self._before()}")

    def _search(self) -> Visit:
        person = self._rng.choice((ADMINISTRATOR, BUSIEST))
        text = self._rng.choice(("nobody", "slide", f"{self._rng.randrange(10_000)}"))
        return Visit(person, f"/jobs?q={text}&{self._before()}")

    def _job(self) -> Job:
        return self._rng.choice(self._largest if self._rng.random() < 0.5 else self._jobs)

    def _visitor(self, job: Job) -> str:
        """Return somebody who may see a job."""
        everybody = [ADMINISTRATOR, CLINICIAN]
        return self._rng.choice(everybody + [BUSIEST] * (job.owner.email == BUSIEST))

    def _of_job(self, path: str) -> Visit:
        job = self._job()
        return Visit(self._visitor(job), path.format(job.id))

    def _any_image(self, job: Job | None = None) -> Image:
        job = job or self._job()
        position = self._rng.randrange(self._sizes[job.id])
        query = select(Image).where(Image.job_id == job.id, Image.position == position)
        return self._session.scalars(query).one()

    def _gallery(self, path: str, *, deep: bool) -> Visit:
        job = self._job()
        image = self._any_image(job)
        chosen = self._rng.choice(_bins_of(image))
        parameters = chosen.parameters()
        if deep:
            by_outcome = chosen.order == "check"
            cursor = str(image.position)
            if chosen.by_confidence:
                cursor = after_image(image, by_outcome=by_outcome)
            parameters["before"] = cursor
        return Visit(self._visitor(job), f"{path.format(job.id)}?{urlencode(parameters)}")

    def _image(self) -> Visit:
        job = self._job()
        image = self._any_image(job)
        parameters = self._rng.choice(_bins_of(image)).parameters()
        return Visit(self._visitor(job), f"/images/{image.id}?{urlencode(parameters)}")


def _bins_of(image: Image) -> Sequence[Bin]:
    """Return the bins in which an image stands, in every order each has."""
    if image.state is not ImageState.CLASSIFIED:
        return [Bin(image.state)]
    accepted = image.outcome == Outcome.ACCEPTED
    label, outcome = image.label or "", image.outcome or ""
    narrow = [Bin(label=label, outcome="" if accepted else outcome), Bin(outcome=outcome)]
    return [
        *(Bin(order=order) for order in ORDERS),
        *(
            Bin(label=bin_.label, outcome=bin_.outcome, order=order)
            for bin_ in narrow
            for order in _CONFIDENCE_ORDERS
        ),
    ]
