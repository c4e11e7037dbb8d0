"""For administrators: deleting a person, and restoring them."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from core.errors import BadInput, Conflict, NotAllowed, NotFound
from core.intake import quotas
from core.people import accounts, erasure
from core.people.accounts import RoleName
from core.tables import User
from web.actions.audit import actor
from web.security.caller import person
from web.wiring import wired

blueprint = Blueprint("erasure", __name__, url_prefix="/people")
_DELETE = "delete"


@blueprint.before_request
def _administrators_only() -> None:
    if not accounts.has_role(person(), RoleName.ADMINISTRATOR):
        raise NotAllowed("Only an administrator may manage people and workers.")


@blueprint.get("/<id:user_id>/delete")
def show_deletion(user_id: int) -> str:
    """Ask who gets the person's jobs, or whether they are deleted."""
    wiring = wired()
    with wiring.database.reading() as session:
        user = _find(session, user_id)
        others = select(User).where(User.active.is_(True), User.id != user_id).order_by(User.email)
        return render_template(
            "person_deletion.html",
            user=user,
            usage=quotas.of_person(session, user_id, wiring.settings),
            heirs=session.scalars(others).all(),
            me=person().id,
            days=wiring.settings.delete_grace_days,
        )


@blueprint.post("/<id:user_id>/delete")
def delete_person(user_id: int) -> Response:
    """End a person's access, and erase them when the grace period is over."""
    if user_id == person().id:
        raise Conflict("You can't delete yourself. Ask another administrator.")
    wiring = wired()
    with wiring.database.writing() as session:
        user = _find(session, user_id)
        heir = _heir(session, request.form.get("jobs", ""))
        erasure.delete_person(session, user, wiring.settings, actor(), heir=heir)
    flash(f"{user.email} is deleted and can no longer sign in.", "success")
    return redirect(url_for("people.show_people"))


@blueprint.post("/<id:user_id>/restore")
def restore_person(user_id: int) -> Response:
    """Let a deleted person in again."""
    with wired().database.writing() as session:
        user = _find(session, user_id)
        erasure.restore_person(session, user, actor())
    flash(f"{user.email} is restored and may sign in again.", "success")
    return redirect(url_for("people.show_people"))


def _find(session: Session, user_id: int) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such person.")
    return user


def _heir(session: Session, chosen: str) -> User | None:
    """Return who gets the jobs; None if they are deleted. Raises `BadInput` or `NotFound`."""
    if chosen == _DELETE:
        return None
    if not chosen.isascii() or not chosen.isdigit() or len(chosen) > 9:
        raise BadInput("Choose who gets this person's jobs, or choose to delete them.")
    return _find(session, int(chosen))
