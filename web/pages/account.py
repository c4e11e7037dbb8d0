"""One's own account: signing in by a link, the password, the API tokens."""

from __future__ import annotations

import datetime as dt

from flask import Blueprint, flash, redirect, render_template, url_for
from flask import session as cookie
from flask_login import current_user
from flask_security import login_user
from flask_wtf import FlaskForm
from sqlalchemy import delete, select
from werkzeug.wrappers import Response
from wtforms import PasswordField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length

from core import accounts
from core.errors import NotFound
from core.intake import one_line
from core.models import Token, User
from core.states import TokenKind
from web.accounts import SHORTEST_PASSWORD, Account, person, set_password
from web.errors import BadInput, NotSignedIn
from web.usage import summarise_usage
from web.wiring import wired

blueprint = Blueprint("account", __name__)
_LIFETIMES = [
    SelectChoice(value, words)
    for value, words in (("30", "30 days"), ("365", "1 year"), ("", "No end"))
]


class TokenForm(FlaskForm):  # type: ignore[misc]
    """What a token is for, and how long it lives."""

    name = StringField("What is it for?", validators=[InputRequired(), Length(max=120)])
    days = SelectField("Valid for", choices=_LIFETIMES, default="365")


class PasswordForm(FlaskForm):  # type: ignore[misc]
    """The new password; the present one is asked for where there is one."""

    present = PasswordField("Present password")
    new = PasswordField("New password", validators=[InputRequired(), Length(SHORTEST_PASSWORD)])


@blueprint.get("/sign-in/<secret>")
def sign_in_by_link(secret: str) -> Response:
    """Sign in by the link that `hematovision up` prints; it works until it runs out."""
    with wired().database.reading() as session:
        token = accounts.find_token(session, secret, TokenKind.SIGN_IN)
    if token is None:
        raise NotSignedIn("This link has run out or is incomplete. Ask for a new one.")
    _begin(token.user)
    return redirect(url_for("submit.show_form"))


def _begin(user: User) -> None:
    """Start a session of its own: nothing of who used this browser before is carried over."""
    cookie.clear()
    login_user(Account(user))


@blueprint.get("/account")
def show_account() -> str:
    """Show tokens and forms."""
    return _page(TokenForm(), PasswordForm())


def _page(tokens: TokenForm, password: PasswordForm, secret: str | None = None) -> str:
    user = person()
    with wired().database.reading() as session:
        kept = session.scalars(
            select(Token)
            .where(Token.user_id == user.id, Token.kind == TokenKind.API)
            .order_by(Token.created_at.desc())
        ).all()
    return render_template(
        "account/show.html",
        user=user,
        tokens=kept,
        token_form=tokens,
        password_form=password,
        secret=secret,
        shortest=SHORTEST_PASSWORD,
        kept=summarise_usage(),
    )


@blueprint.post("/account/tokens")
def make_token() -> str:
    """Make a token and show it, this once."""
    form = TokenForm()
    if not form.validate():
        return _page(form, PasswordForm(formdata=None))
    lifetime = dt.timedelta(days=int(form.days.data)) if form.days.data else None
    with wired().database.writing() as session:
        name = one_line(form.name.data) or "Token"
        secret = accounts.issue_token(session, person(), TokenKind.API, name, lifetime)
    return _page(TokenForm(formdata=None), PasswordForm(formdata=None), secret)


@blueprint.post("/account/tokens/<id:token_id>/revoke")
def revoke_token(token_id: int) -> Response:
    """Forget a token of one's own; it opens nothing from now on."""
    with wired().database.writing() as session:
        revoked = session.scalar(
            delete(Token)
            .where(Token.id == token_id, Token.user_id == person().id)
            .where(Token.kind == TokenKind.API)
            .returning(Token.id)
        )
    if revoked is None:
        raise NotFound("There is no such token, or it is not yours.")
    flash("The token is revoked.", "success")
    return redirect(url_for("account.show_account"))


@blueprint.post("/account/password")
def change_password() -> str | Response:
    """Set a new password, which ends all other sessions of this person."""
    form, user = PasswordForm(), person()
    if not form.validate():
        return _page(TokenForm(formdata=None), form)
    if user.password and not current_user.verify_and_update_password(form.present.data or ""):
        form.present.errors = ["This is not your present password."]
        return _page(TokenForm(formdata=None), form)
    try:
        set_password(wired().database, user.email, form.new.data)
    except BadInput as error:
        form.new.errors = [str(error)]
        return _page(TokenForm(formdata=None), form)
    with wired().database.reading() as session:
        _begin(session.get_one(User, user.id))
    flash("The password is set. All other sessions are ended.", "success")
    return redirect(url_for("account.show_account"))
