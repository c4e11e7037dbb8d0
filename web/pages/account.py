"""A person's own account: their sessions, API tokens and password."""

from __future__ import annotations

import datetime as dt

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_wtf import FlaskForm
from sqlalchemy import select
from werkzeug.wrappers import Response
from wtforms import PasswordField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length

from core import audit
from core.audit import Action
from core.errors import BadInput, NotFound, TooManyAttempts
from core.people import membership, passwords, sign_ins, tokens
from core.people.passwords import SHORTEST
from core.people.sign_ins import SignInLimits
from core.states import TokenKind
from core.tables import Token, User
from web.actions.audit import actor
from web.pages.sign_in import begin
from web.security import guessing
from web.security.caller import caller, person
from web.shown.usage import summarise_usage
from web.wiring import wired

blueprint = Blueprint("account", __name__, url_prefix="/account")
_LIFETIMES = [
    SelectChoice(value, words)
    for value, words in (("30", "30 days"), ("365", "1 year"), ("", "No expiry"))
]


class TokenForm(FlaskForm):  # type: ignore[misc]
    """What a token is for, and how long it is valid."""

    name = StringField("What is it for?", validators=[InputRequired(), Length(max=120)])
    days = SelectField("Valid for", choices=_LIFETIMES, default="365")


class PasswordForm(FlaskForm):  # type: ignore[misc]
    """The new password, and the current one if there is one."""

    present = PasswordField("Current password")
    new = PasswordField("New password", validators=[InputRequired()])


@blueprint.get("")
def show_account() -> str:
    """Show sessions, tokens, storage, and links to the password and the second factor."""
    return _page(TokenForm())


def _page(form: TokenForm, secret: str | None = None) -> str:
    who, wiring = caller(), wired()
    with wiring.database.reading() as session:
        tokens = session.scalars(
            select(Token)
            .where(Token.user_id == who.user.id, Token.kind == TokenKind.API)
            .order_by(Token.created_at.desc())
        ).all()
        sessions = sign_ins.of_person(session, who.user.id, SignInLimits.of(wiring.settings))
    return render_template(
        "account/show.html",
        user=who.user,
        places=sessions,
        current=who.sign_in_id,
        tokens=tokens,
        form=form,
        secret=secret,
        kept=summarise_usage(),
    )


@blueprint.post("/sign-ins/<id:sign_in_id>/end")
def end_sign_in(sign_in_id: int) -> Response:
    """End one of the person's own sessions."""
    user = person()
    with wired().database.writing() as session:
        if not sign_ins.end(session, user.id, sign_in_id):
            raise NotFound("There is no such session, or it has already ended.")
        audit.note(session, Action.SESSION_ENDED, actor(), f"session {sign_in_id}")
    flash("The session has ended.", "success")
    return redirect(url_for("account.show_account"))


@blueprint.post("/sign-ins/end-others")
def end_other_sign_ins() -> Response:
    """End all of the person's own sessions except this one."""
    who = caller()
    with wired().database.writing() as session:
        sign_ins.end_all(session, who.user.id, but=who.sign_in_id)
        audit.note(session, Action.SESSION_ENDED, actor(), f"person {who.user.id}")
    flash("All other sessions have ended.", "success")
    return redirect(url_for("account.show_account"))


@blueprint.post("/tokens")
def make_token() -> str:
    """Make a token and show it once."""
    form, user = TokenForm(), person()
    if not form.validate():
        return _page(form)
    lifetime = dt.timedelta(days=int(form.days.data)) if form.days.data else None
    with wired().database.writing() as session:
        secret = tokens.make_api_token(session, actor(), user, form.name.data, lifetime)
    return _page(TokenForm(formdata=None), secret)


@blueprint.post("/tokens/<id:token_id>/revoke")
def revoke_token(token_id: int) -> Response:
    """Delete one of the person's own tokens; it gives no access from now on."""
    user = person()
    with wired().database.writing() as session:
        tokens.revoke_api_token(session, actor(), user, token_id)
    flash("The token is revoked.", "success")
    return redirect(url_for("account.show_account"))


@blueprint.get("/password")
def show_password() -> str:
    """Ask for a new password."""
    return _password_page(PasswordForm())


def _password_page(form: PasswordForm) -> str:
    return render_template("account/password.html", user=person(), form=form, shortest=SHORTEST)


@blueprint.post("/password")
def change_password() -> str | Response | tuple[str, int]:
    """Set a new password; this ends all other sessions, tokens and links of this person."""
    form, user = PasswordForm(), person()
    if not form.validate():
        return _password_page(form)
    status = refuse_wrong_password(user, form.present)
    if status is not None:
        return _password_page(form), status
    try:
        if form.new.data == form.present.data:
            raise BadInput("This is your current password. Choose another.")
        membership.change_password(wired().database, actor(), user.id, form.new.data)
    except BadInput as error:
        form.new.errors = [str(error)]
        return _password_page(form)
    with wired().database.reading() as session:
        user = session.get_one(User, user.id)
    answer = begin(user, "new password", url_for("account.show_account"))
    flash("The password is set. All your other sessions, tokens and links have ended.", "success")
    return answer


def refuse_wrong_password(user: User, field: PasswordField) -> int | None:
    """Check the current password; a person who has none yet came by a link.

    If it is wrong, or was wrong too often, the field says so and the answer's status is returned.
    """
    if user.password is None:
        return None
    budgets = guessing.of_person("present password", user)
    try:
        guessing.spend(wired().database, budgets)
    except TooManyAttempts as error:
        field.errors = [str(error)]
        return 429
    if not passwords.matches(user.password, field.data or ""):
        field.errors = ["This is not your current password."]
        return 200
    with wired().database.writing() as session:
        guessing.give_back(session, budgets)
    return None
