"""For administrators: the people who may sign in, and the known workers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_wtf import FlaskForm
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

from core import registry
from core.db import clock
from core.errors import BadInput, Conflict, NotAllowed
from core.intake import quotas
from core.jobs.queries import WORKER_SECONDS
from core.people import accounts, membership
from core.people.accounts import RoleName
from core.people.membership import FIRST_PASSWORD_DAYS, Admission
from core.tables import Model, User, Worker
from web.actions.audit import actor
from web.security.caller import person
from web.shown.usage import summarise_usage
from web.wiring import wired

blueprint = Blueprint("people", __name__, url_prefix="/people")


class PersonForm(FlaskForm):  # type: ignore[misc]
    """The address and role of a new person."""

    email = StringField("E-mail address", validators=[InputRequired()])
    role = SelectField(
        "Role", choices=[SelectChoice(r.value, r.value.capitalize()) for r in RoleName]
    )


@blueprint.before_request
def _administrators_only() -> None:
    if not accounts.has_role(person(), RoleName.ADMINISTRATOR):
        raise NotAllowed("Only an administrator may manage people and workers.")


@blueprint.get("")
def show_people() -> str:
    """Show all people and workers."""
    return _page(PersonForm())


def _page(form: PersonForm, admission: Admission | None = None) -> str:
    with wired().database.reading() as session:
        people = session.scalars(select(User).order_by(User.email)).all()
        workers = _workers(session)
        bytes_by_person = quotas.bytes_by_person(session)
    return render_template(
        "people.html",
        people=people,
        workers=workers,
        form=form,
        me=person().id,
        kept=bytes_by_person,
        laboratory_kept=summarise_usage().laboratory,
        roles=list(RoleName),
        admission=admission,
        first_password_days=FIRST_PASSWORD_DAYS,
    )


# How a worker's backend is shown; others are shown by their own name.
_COMPUTES = {
    "onnxruntime": "ONNX Runtime",
    "onnxruntime int8": "ONNX Runtime in 8 bits",
    "tensorflow": "TensorFlow",
}


def _workers(session: Session) -> list[dict[str, Any]]:
    """Return the known workers; ages are measured by the database's clock, like heartbeats."""
    age = clock() - Worker.seen_at
    rows = session.execute(select(Worker, age).order_by(Worker.name))
    names = {model.digest: registry.title(model) for model in session.scalars(select(Model))}
    return [
        {
            "worker": worker,
            "computes": _COMPUTES.get(worker.backend, worker.backend),
            "models": [names.get(digest, digest[:12]) for digest in worker.models],
            "age": seconds,
            "alive": seconds < WORKER_SECONDS,
        }
        for worker, seconds in rows
    ]


@blueprint.post("")
def add_person() -> str:
    """Add somebody, and show their generated first password once."""
    form = PersonForm()
    if not form.validate():
        return _page(form)
    try:
        admission = membership.add_person(
            wired().database, actor(), form.email.data, form.role.data
        )
    except (BadInput, Conflict) as error:
        flash(str(error), "error")
        return _page(form)
    return _page(PersonForm(formdata=None), admission)


@blueprint.post("/<id:user_id>/<any(activate, deactivate):action>")
def set_active(user_id: int, action: str) -> Response:
    """Let somebody in again, or end their access, sessions and tokens at once."""
    _require_another(user_id, "deactivate yourself")
    with wired().database.writing() as session:
        user = membership.set_active(session, actor(), user_id, active=action == "activate")
    access = "may sign in again" if user.active else "can no longer sign in"
    flash(f"{user.email} {access}.", "success")
    return redirect(url_for("people.show_people"))


@blueprint.post("/<id:user_id>/role")
def set_role(user_id: int) -> Response:
    """Give somebody another role."""
    _require_another(user_id, "change your own role")
    with wired().database.writing() as session:
        user = membership.set_role(session, actor(), user_id, request.form.get("role", ""))
    flash(f"{user.email} is {user.roles[0].name} from now on.", "success")
    return redirect(url_for("people.show_people"))


@blueprint.post("/<id:user_id>/reset-password")
def reset_password(user_id: int) -> str:
    """Make a first password for somebody who lost theirs, and show it once."""
    _require_another(user_id, "reset your own password")
    first = membership.reset_password(wired().database, actor(), user_id)
    with wired().database.reading() as session:
        user = session.get_one(User, user_id)
    return _page(PersonForm(formdata=None), Admission(user, first))


@blueprint.post("/<id:user_id>/remove-second-factor")
def remove_second_factor(user_id: int) -> Response:
    """Let somebody who lost their telephone sign in with the password alone."""
    _require_another(user_id, "remove your own second factor here")
    with wired().database.writing() as session:
        membership.remove_second_factor(session, actor(), user_id)
        user = session.get_one(User, user_id)
    flash(f"{user.email} now signs in with the password alone.", "success")
    return redirect(url_for("people.show_people"))


def _require_another(user_id: int, deed: str) -> None:
    if user_id == person().id:
        raise Conflict(f"You can't {deed}. Ask another administrator.")
