"""What a person does to a job, in one transaction each, and the bell after it.

Pages and API call these; a request that is repeated does nothing again. Who may do what is decided
by `core.accounts`, what is possible by `core.jobs`.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from core import accounts, jobs
from core.errors import Conflict
from core.models import Job, User
from core.settings import Settings
from web.repeats import once
from web.wiring import wired

RUN_AGAIN = "run-again"


def create(user: User, name: str, reference: str, model: str = "") -> int:
    """Open a job that receives files, perhaps for a ``model`` of its own; return its id.

    Raises `NotFound` or `Conflict`.
    """
    with wired().database.writing() as session:

        def make() -> int:
            return jobs.create(session, user.id, name, reference, model).id

        return once(session, user, make, name, reference, model)


def submit(user: User, job_id: int, *, without_missing: bool, model: str = "") -> None:
    """Queue a job; one that is submitted already stays as it is, for an answer may get lost.

    ``model`` is the start of a digest; empty is the one it was opened for, or the active one.

    Raises `NotFound`, `NotAllowed` or `Conflict`.
    """
    wiring = wired()
    with wiring.database.writing() as session:
        job = accounts.find_job_to_handle(session, user, job_id)
        try:
            jobs.submit(session, job, wiring.settings, without_missing=without_missing, model=model)
        except Conflict:
            if job.submitted_at is None:
                raise
    wiring.ring_for_work()


def act(user: User, job_id: int, action: str, model: str = "") -> None:
    """Do one of `cancel`, `retry`, `run-again`, the last perhaps under a ``model`` of its own.

    Raises `NotFound`, `NotAllowed` or `Conflict`.
    """
    wiring = wired()
    with wiring.database.writing() as session:
        job = accounts.find_job_to_handle(session, user, job_id)

        def do() -> int:
            if action == RUN_AGAIN:
                jobs.run_again(session, job, wiring.settings, model)
            else:
                _ACTIONS[action](session, job, wiring.settings)
            return job_id

        once(session, user, do, model)
    wiring.ring_for_work()


def _cancel(session: Session, job: Job, _: Settings) -> None:
    jobs.cancel(session, job)


def _retry(session: Session, job: Job, settings: Settings) -> None:
    jobs.retry_failed(session, job, settings)


_ACTIONS = {"cancel": _cancel, "retry": _retry}
