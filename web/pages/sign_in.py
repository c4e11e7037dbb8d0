"""Signing in by password, by link and by the code of a second factor; signing out."""

from __future__ import annotations

import datetime as dt

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask import session as cookie
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired

from core import audit
from core.audit import Action
from core.db import utcnow
from core.errors import BadInput, TooManyAttempts
from core.people import accounts, passwords, sign_ins, tokens
from core.people.membership import normal_email
from core.states import TokenKind
from core.tables import Token, User
from web.errors import NotSignedIn
from web.security import browsers, guessing, second_factor
from web.security.caller import (
    COOKIE_KEY,
    actor_of,
    caller,
    caller_or_none,
    forget_caller,
    stranger,
)
from web.wiring import wired

blueprint = Blueprint("sign_in", __name__)
_CODE_KEY = "code"
_CODE_LIFETIME = dt.timedelta(minutes=5)
_WRONG = "The address and the password do not match. Try again."
_WRONG_CODE = "This is not the current code. Wait for the next one, then try again."
_TOO_LATE = "That took too long. Please sign in again."
_NO_LINK = "This link has already been used, has expired or is incomplete. Ask for a new one."


class SignInForm(FlaskForm):  # type: ignore[misc]
    """Address and password; there is no “remember me”, since bench computers are shared."""

    email = StringField("E-mail address", validators=[InputRequired()])
    password = PasswordField("Password", validators=[InputRequired()])


class CodeForm(FlaskForm):  # type: ignore[misc]
    """The code that the app shows, or one of the recovery codes."""

    code = StringField("Code", validators=[InputRequired()])


@blueprint.get("/sign-in")
def show_form() -> str | Response:
    """Ask for address and password."""
    if caller_or_none() is not None:
        return redirect(_wanted_page())
    return _form(SignInForm())


def _form(form: SignInForm, error: str | None = None) -> str:
    return render_template("account/sign_in.html", form=form, error=error)


def _wanted_page() -> str:
    """Return the page that somebody wanted to open, if it is one of ours."""
    wanted = request.args.get("next", "")
    # A browser takes a backslash for a slash, and two of them begin another host's address.
    ours = wanted.startswith("/") and not wanted.replace("\\", "/").startswith("//")
    return wanted if ours and wanted.isprintable() else url_for("submit.show_form")


@blueprint.post("/sign-in")
def take_form() -> str | Response | tuple[str, int, dict[str, str]]:
    """Sign in by address and password."""
    form = SignInForm()
    if not form.validate():
        return _form(form)
    try:
        user = _check_password(form.email.data, form.password.data)
    except TooManyAttempts as error:
        return _form(form, str(error)), 429, {"Retry-After": str(error.seconds)}
    if user is None:
        return _form(form, _WRONG)
    return _go_on(user, "password")


def _check_password(email: str, password: str) -> User | None:
    """Return the person if the password is theirs and they may sign in; every try counts."""
    database = wired().database
    try:
        normal = normal_email(email)
    except BadInput:
        normal = ""
    with database.reading() as session:
        user = accounts.person_or_none(session, normal) if normal else None
        budgets = guessing.of_password(session, normal, user)
    guessing.spend(database, budgets)
    # The password is checked for unknown people too: the time taken must not tell who is known.
    right = passwords.matches(user.password if user else None, password)
    admitted = user is not None and right and user.active and not _has_run_out(user)
    renewed = None
    if admitted and user and user.password and passwords.is_outdated(user.password):
        renewed = passwords.hashed(password)
    with database.writing() as session:
        if user is None or not admitted:
            subject = f"person {user.id}" if user else ""
            audit.note(session, Action.SIGN_IN_FAILED, stranger(), subject, {"how": "password"})
            return None
        guessing.give_back(session, budgets)
        if renewed is not None:
            session.get_one(User, user.id).password = renewed
    return user


def _has_run_out(user: User) -> bool:
    return user.first_password_until is not None and user.first_password_until < utcnow()


@blueprint.get("/sign-in/<secret>")
def show_link(secret: str) -> str | Response:
    """Show whom a link signs in. This does not use the link up: mail programs open links too."""
    with wired().database.reading() as session:
        token = tokens.find(session, secret, TokenKind.SIGN_IN)
    if token is None:
        return _spent_link()
    return render_template("account/link.html", email=token.user.email, secret=secret)


@blueprint.post("/sign-in/<secret>")
def take_link(secret: str) -> Response:
    """Sign in by a link, which stops working."""
    with wired().database.writing() as session:
        user = tokens.use_up(session, secret, TokenKind.SIGN_IN)
    return _spent_link() if user is None else _go_on(user, "link")


def _spent_link() -> Response:
    """Let people pass who return to a link after signing in; tell others that it is used."""
    if caller_or_none() is not None:
        return redirect(url_for("submit.show_form"))
    guessing.spend(wired().database, [guessing.of_address("link")])
    raise NotSignedIn(_NO_LINK)


def _go_on(user: User, how: str) -> Response:
    """Ask for the code of the second factor where there is one, else sign in."""
    if user.totp_secret is None:
        return begin(user, how, _wanted_page())
    with wired().database.writing() as session:
        tokens.revoke_all(session, user, TokenKind.CODE)
        secret = tokens.issue(session, user, TokenKind.CODE, how, _CODE_LIFETIME)
    cookie.clear()
    cookie[_CODE_KEY] = secret
    return redirect(url_for("sign_in.show_code", next=request.args.get("next")))


def begin(user: User, how: str, page: str) -> Response:
    """Start a new session; nothing is carried over from whoever used this browser before."""
    cookie.clear()
    browser = request.user_agent.string
    with wired().database.writing() as session:
        secret, id_ = sign_ins.begin(session, user, how, request.remote_addr or "", browser)
        actor = actor_of(user, f"session {id_}")
        audit.note(session, Action.SIGN_IN, actor, f"person {user.id}", {"how": how})
    cookie[COOKIE_KEY] = secret
    forget_caller()
    answer = redirect(page)
    browsers.remember(answer, user.id)
    return answer


@blueprint.get("/sign-in/code")
def show_code() -> str:
    """Ask for the code of the second factor."""
    _half_signed_in()
    return _code_page(CodeForm())


def _half_signed_in() -> Token:
    """Return the token that proves a correct first factor. Raises `NotSignedIn`."""
    with wired().database.reading() as session:
        token = tokens.find(session, str(cookie.get(_CODE_KEY, "")), TokenKind.CODE)
    if token is None:
        raise NotSignedIn(_TOO_LATE)
    return token


def _code_page(form: CodeForm, error: str | None = None) -> str:
    return render_template("account/code.html", form=form, error=error)


@blueprint.post("/sign-in/code")
def take_code() -> str | Response | tuple[str, int, dict[str, str]]:
    """Sign in by the code of the second factor, or by a recovery code."""
    token, form = _half_signed_in(), CodeForm()
    if not form.validate():
        return _code_page(form)
    budgets = guessing.of_person("code", token.user)
    try:
        guessing.spend(wired().database, budgets)
    except TooManyAttempts as error:
        return _code_page(form, str(error)), 429, {"Retry-After": str(error.seconds)}
    second = _take_second_factor(token.user, form.code.data)
    if second is None:
        return _code_page(form, _WRONG_CODE)
    with wired().database.writing() as session:
        guessing.give_back(session, budgets)
        if tokens.use_up(session, cookie[_CODE_KEY], TokenKind.CODE) is None:
            raise NotSignedIn(_TOO_LATE)
    return begin(token.user, f"{token.name} and {second}", _wanted_page())


def _take_second_factor(user: User, code: str) -> str | None:
    """Return what was entered, a code or a recovery code; record a failure and return None."""
    wiring, subject = wired(), f"person {user.id}"
    with wiring.database.writing() as session:
        if second_factor.take_code(session, user, code, wiring.settings.secret_key):
            return "code"
        if second_factor.take_recovery_code(session, user, code):
            audit.note(session, Action.TOTP_RECOVERED, actor_of(user), subject)
            return "recovery code"
        audit.note(session, Action.SIGN_IN_FAILED, stranger(), subject, {"how": "code"})
    return None


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """End this session here and on the server, and have the browser clear its cache."""
    who = caller()
    with wired().database.writing() as session:
        if who.sign_in_id is not None:
            sign_ins.end(session, who.user.id, who.sign_in_id)
        audit.note(session, Action.SIGN_OUT, who.actor, f"person {who.user.id}")
    cookie.clear()
    forget_caller()
    flash("You are signed out.", "success")
    answer = make_response(redirect(url_for("sign_in.show_form")))
    # The browser keeps thumbnails for long, and they show patients' cells.
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer
