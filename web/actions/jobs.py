"""What a person does to a job: one transaction each, then a ring for the workers.

The pages and the API call these; a repeated request has no further effect. `core.people.accounts`
decides who may do what, `core.jobs` what is possible.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from core import audit, jobs, registry
from core.audit import Action
from core.errors import Conflict, NotAllowed
from core.intake import quotas
from core.people import accounts
from core.people.accounts import RoleName
from core.settings import Settings
from core.states import ModelState
from core.tables import Job, Model, User
from web.actions.audit import actor
from web.actions.repeats import once
from web.wiring import wired

RUN_AGAIN = "run-again"


def create(user: User, name: str, reference: str, model: str = "") -> int:
    """Open a job that receives files, perhaps with a chosen ``model``; return its id.

    Raises `NotFound`, `NotAllowed`, `Conflict` or `TooManyJobs`.
    """
    wiring = wired()
    with wiring.database.writing() as session:
        require_choice(session, user, model)

        def make() -> int:
            job_id = jobs.create(session, user.id, name, reference, model).id
            quotas.require_turn(session, user.id, wiring.settings)
            return job_id

        return once(session, user, make, name, reference, model)


def models_for(session: Session, user: User) -> Sequence[Model]:
    """Return the models that this person may choose: for most people only the active one."""
    choosable = registry.choosable(session)
    if accounts.has_role(user, RoleName.ADMINISTRATOR):
        return choosable
    return [model for model in choosable if model.state is ModelState.ACTIVE]


def require_choice(session: Session, user: User, wanted: str) -> None:
    """Raise `NotAllowed` if this person may not choose the model of this digest for a job.

    ``wanted`` is the start of a digest; `core.registry` decides whether there is such a model.
    """
    if wanted.strip().lower() in ("", registry.ACTIVE):
        return
    if accounts.has_role(user, RoleName.ADMINISTRATOR):
        return
    active = registry.active(session)
    if active is None or not active.digest.startswith(wanted.strip().lower()):
        raise NotAllowed("Only an administrator may choose a model other than the active one.")


def submit(user: User, job_id: int, *, without_missing: bool, model: str = "") -> None:
    """Queue a job; one already submitted stays as it is, since an answer may have got lost.

    ``model`` is the start of a digest; empty means the model it was opened with, or the active one.

    Raises `NotFound`, `NotAllowed` or `Conflict`.
    """
    wiring = wired()
    with wiring.database.writing() as session:
        job = accounts.find_job_to_handle(session, user, job_id)
        require_choice(session, user, model)
        try:
            jobs.submit(session, job, wiring.settings, without_missing=without_missing, model=model)
            audit.note(session, Action.JOB_SUBMITTED, actor(), f"job {job_id}")
        except Conflict:
            if job.submitted_at is None:
                raise


def act(user: User, job_id: int, action: str, model: str = "") -> None:
    """Do one of `cancel`, `retry` and `run-again`, the last perhaps with a chosen ``model``.

    Raises `NotFound`, `NotAllowed`, `Conflict` or `TooManyJobs`.
    """
    wiring = wired()
    with wiring.database.writing() as session:
        job = accounts.find_job_to_handle(session, user, job_id)
        require_choice(session, user, model)

        def do() -> int:
            if action == RUN_AGAIN:
                jobs.run_again(session, job, wiring.settings, model)
            else:
                _ACTIONS[action](session, job, wiring.settings)
            if job.state in quotas.OPEN:
                quotas.require_turn(session, job.owner_id, wiring.settings)
            deed = Action.JOB_CANCELLED if action == "cancel" else Action.JOB_RETRIED
            audit.note(session, deed, actor(), f"job {job_id}", {"action": action})
            return job_id

        once(session, user, do, model)


def _cancel(session: Session, job: Job, _: Settings) -> None:
    jobs.cancel(session, job)


def _retry(session: Session, job: Job, settings: Settings) -> None:
    jobs.retry_failed(session, job, settings)


_ACTIONS = {"cancel": _cancel, "retry": _retry}
