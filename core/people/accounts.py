"""What each person may see and do."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from core.db import insert_if_new
from core.errors import NotAllowed, NotFound
from core.tables import Image, Job, Role, User


class RoleName(StrEnum):
    """The three roles.

    laboratory     submits, and sees and handles its own jobs
    clinician      submits, and sees every job
    administrator  sees and handles everything, and manages people and workers
    """

    LABORATORY = "laboratory"
    CLINICIAN = "clinician"
    ADMINISTRATOR = "administrator"


_SEES_ALL = {RoleName.CLINICIAN, RoleName.ADMINISTRATOR}
# Nearly every request runs these queries, and building one takes as long as running it.
_VISIBLE = select(Job).where(Job.deleted_at.is_(None))
_OWN = _VISIBLE.where(Job.owner_id == bindparam("owner"))
_ONE_JOB, _ONE_OWN_JOB = (query.where(Job.id == bindparam("job")) for query in (_VISIBLE, _OWN))
_ONE_IMAGE, _ONE_OWN_IMAGE = (
    select(Image).where(
        Image.id == bindparam("image"), Image.job_id.in_(query.with_only_columns(Job.id))
    )
    for query in (_VISIBLE, _OWN)
)


def ensure_roles(session: Session) -> None:
    """Add the roles that are missing; several processes may do so at once."""
    rows = [{"name": role.value, "description": ""} for role in RoleName]
    session.execute(insert_if_new(session, Role), rows)


def has_role(user: User, *roles: RoleName) -> bool:
    """Return whether the person has any of these roles."""
    return any(role.name in roles for role in user.roles)


def visible_jobs(user: User) -> Select[Job]:
    """Return the query for the jobs that this person may see; every page starts from it."""
    return _VISIBLE if has_role(user, *_SEES_ALL) else _OWN.params(owner=user.id)


def deleted_jobs(user: User) -> Select[Job]:
    """Return the query for the deleted jobs that this person may restore."""
    query = select(Job).where(Job.deleted_at.is_not(None), Job.purge_at.is_not(None))
    everything = has_role(user, RoleName.ADMINISTRATOR)
    return query if everything else query.where(Job.owner_id == user.id)


def find_deleted_job(session: Session, user: User, job_id: int) -> Job:
    """Return a deleted job that this person may restore. Raises `NotFound`."""
    job = session.scalars(deleted_jobs(user).where(Job.id == job_id)).first()
    if job is None:
        raise NotFound("There is no such deleted job, or you may not restore it.")
    return job


def find_job(session: Session, user: User, job_id: int) -> Job:
    """Return one job. Raises the same `NotFound` if it is absent or may not be seen."""
    query = _ONE_JOB if has_role(user, *_SEES_ALL) else _ONE_OWN_JOB
    job = session.scalars(query, {"job": job_id, "owner": user.id}).first()
    if job is None:
        raise NotFound("There is no such job, or you may not see it.")
    return job


def find_image(session: Session, user: User, image_id: int) -> Image:
    """Return one image of a job this person may see. Raises `NotFound` as `find_job` does."""
    query = _ONE_IMAGE if has_role(user, *_SEES_ALL) else _ONE_OWN_IMAGE
    image = session.scalars(query, {"image": image_id, "owner": user.id}).first()
    if image is None:
        raise NotFound("There is no such image, or you may not see it.")
    return image


def may_handle(user: User, job: Job) -> bool:
    """Return whether the person may send files to, cancel or retry this job."""
    return job.owner_id == user.id or has_role(user, RoleName.ADMINISTRATOR)


def find_job_to_handle(session: Session, user: User, job_id: int) -> Job:
    """Return a job this person may change. Raises `NotFound` or `NotAllowed`."""
    job = find_job(session, user, job_id)
    if not may_handle(user, job):
        raise NotAllowed(
            "Only the person who submitted this job, or an administrator, may do that."
        )
    return job


def person_or_none(session: Session, email: str) -> User | None:
    """Return the person with this address, in any spelling, or None."""
    written = func.lower(User.email) == email.strip().lower()
    return session.scalars(select(User).where(written)).first()


def first_administrator(session: Session, email: str) -> User:
    """Return the person with this address; if new, add an administrator without a password."""
    person = person_or_none(session, email)
    if person is None:
        role = session.scalars(select(Role).where(Role.name == RoleName.ADMINISTRATOR)).one()
        person = User(email=email, roles=[role])
        session.add(person)
        session.flush()
    return person


def find_person(session: Session, email: str) -> User:
    """Return the person with this address, in any spelling. Raises `NotFound`."""
    person = person_or_none(session, email)
    if person is None:
        raise NotFound(f"There is no person with the address {email}. Add them first.")
    return person
