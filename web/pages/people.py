"""For administrators: who may sign in, and which workers were seen."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_wtf import FlaskForm
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import PasswordField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

from core import accounts, registry
from core.accounts import RoleName
from core.db import clock
from core.errors import Conflict, NotAllowed, NotFound
from core.jobs import WORKER_SECONDS
from core.models import Model, User, Worker
from web.accounts import SHORTEST_PASSWORD, add_user, person
from web.errors import BadInput
from web.wiring import wired

blueprint = Blueprint("people", __name__, url_prefix="/people")


class PersonForm(FlaskForm):  # type: ignore[misc]
    """A new person."""

    email = StringField("E-mail address", validators=[InputRequired()])
    role = SelectField(
        "Role", choices=[SelectChoice(r.value, r.value.capitalize()) for r in RoleName]
    )
    password = PasswordField("First password", validators=[InputRequired()])


@blueprint.before_request
def _administrators_only() -> None:
    if not accounts.has_role(person(), RoleName.ADMINISTRATOR):
        raise NotAllowed("Only an administrator manages people and workers.")


@blueprint.get("")
def show_people() -> str:
    """Show everybody and the workers."""
    return _page(PersonForm())


def _page(form: PersonForm) -> str:
    with wired().database.reading() as session:
        people = session.scalars(select(User).order_by(User.email)).all()
        workers = _workers(session)
    return render_template(
        "people.html",
        people=people,
        workers=workers,
        form=form,
        me=person().id,
        shortest=SHORTEST_PASSWORD,
    )


# What is said of the means by which a worker computes; others go by their own name.
_COMPUTES = {
    "onnxruntime": "ONNX Runtime",
    "onnxruntime int8": "ONNX Runtime in 8 bits",
    "tensorflow": "TensorFlow",
}


def _workers(session: Session) -> list[dict[str, Any]]:
    """Return the workers that are kept; ages go by the database's clock, as heartbeats do."""
    age = clock() - Worker.seen_at
    rows = session.execute(select(Worker, age).order_by(Worker.name))
    names = {one.digest: registry.title(one) for one in session.scalars(select(Model))}
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
def add_person() -> str | Response:
    """Add somebody who may sign in at once."""
    form = PersonForm()
    if not form.validate():
        return _page(form)
    try:
        user = add_user(wired().database, form.email.data, form.password.data, form.role.data)
    except (BadInput, Conflict) as error:
        flash(str(error), "error")
        return _page(form)
    flash(f"{user.email} may now sign in.", "success")
    return redirect(url_for("people.show_people"))


@blueprint.post("/<id:user_id>/<any(activate, deactivate):action>")
def set_active(user_id: int, action: str) -> Response:
    """Let somebody in again, or end their access and all their sessions at once."""
    if user_id == person().id:
        raise Conflict("You can't deactivate yourself. Ask another administrator.")
    with wired().database.writing() as session:
        user = session.get(User, user_id)
        if user is None:
            raise NotFound("There is no such person.")
        user.active = action == "activate"
        user.fs_uniquifier = secrets.token_hex(32)
    done = "may sign in again" if action == "activate" else "can no longer sign in"
    flash(f"{user.email} {done}.", "success")
    return redirect(url_for("people.show_people"))
