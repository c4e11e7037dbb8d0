"""Setting up a second factor, renewing its recovery codes, and turning it off."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask import session as cookie
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import PasswordField, StringField

from core import audit
from core.audit import Action
from core.errors import Conflict
from core.people import membership
from web.actions.audit import actor
from web.pages.account import refuse_wrong_password
from web.security import second_factor
from web.security.caller import person
from web.wiring import wired

blueprint = Blueprint("second_factor", __name__, url_prefix="/account/second-factor")
_SECRET_KEY = "totp"
Answer = str | tuple[str, int]


class SecondFactorForm(FlaskForm):  # type: ignore[misc]
    """The current password, and the code that shows that the app has the secret."""

    present = PasswordField("Current password")
    code = StringField("Code from the app")


@blueprint.get("")
def show() -> str:
    """Show how to set up a second factor, or the one that is set up."""
    return _page(SecondFactorForm())


def _page(form: SecondFactorForm, codes: list[str] | None = None) -> str:
    user, wiring = person(), wired()
    values = {
        "user": user,
        "form": form,
        "codes": codes,
        "required": second_factor.is_required(wiring.settings.require_totp, user),
    }
    if user.totp_secret is not None or codes:
        with wiring.database.reading() as session:
            values["left"] = second_factor.recovery_codes_left(session, user.id)
    else:
        # Kept in this browser's cookie, which its owner may see, until a code proves it.
        secret = cookie.setdefault(_SECRET_KEY, second_factor.new_secret())
        values |= {"secret": secret, "picture": second_factor.picture(secret, user.email)}
    return render_template("account/second_factor.html", **values)


@blueprint.post("/enable")
def enable() -> Answer:
    """Store the secret once a code proves that the app has it."""
    form, user, wiring = SecondFactorForm(), person(), wired()
    if user.totp_secret is not None:
        raise Conflict("You already have a second factor.")
    refusal = _refusal(form)
    if refusal is not None:
        return refusal
    secret = str(cookie.get(_SECRET_KEY, ""))
    step = second_factor.matching_step(secret, form.code.data or "") if secret else None
    if step is None:
        form.code.errors = ["This is not the current code. Check your telephone's clock."]
        return _page(form)
    with wiring.database.writing() as session:
        key = wiring.settings.secret_key
        codes = second_factor.enable(session, user.id, secret, step, key)
        audit.note(session, Action.TOTP_ENABLED, actor(), f"person {user.id}")
    cookie.pop(_SECRET_KEY)
    return _page(SecondFactorForm(formdata=None), codes)


@blueprint.post("/recovery-codes")
def renew_recovery_codes() -> Answer:
    """Make new recovery codes; the previous ones stop working."""
    form, user = SecondFactorForm(), person()
    refusal = _refusal(form)
    if refusal is not None:
        return refusal
    if user.totp_secret is None:
        raise Conflict("You have no second factor yet.")
    with wired().database.writing() as session:
        codes = second_factor.renew_recovery_codes(session, user.id)
        audit.note(session, Action.RECOVERY_CODES_MADE, actor(), f"person {user.id}")
    return _page(SecondFactorForm(formdata=None), codes)


@blueprint.post("/disable")
def disable() -> Answer | Response:
    """Turn the second factor off."""
    form, user = SecondFactorForm(), person()
    refusal = _refusal(form)
    if refusal is not None:
        return refusal
    with wired().database.writing() as session:
        membership.remove_second_factor(session, actor(), user.id)
    flash("The second factor is removed. You now sign in with the password alone.", "success")
    return redirect(url_for("account.show_account"))


def _refusal(form: SecondFactorForm) -> Answer | None:
    """Return the page that says what is wrong, or None if the password is right."""
    if not form.validate():
        return _page(form)
    status = refuse_wrong_password(person(), form.present)
    return None if status is None else (_page(form), status)
