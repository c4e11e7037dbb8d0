"""Who may pass and who must sign in first: every view that is not listed here needs a sign-in."""

from __future__ import annotations

from flask import Flask, redirect, request, url_for
from werkzeug.wrappers import Response

from core.errors import NotAllowed
from core.tables import User
from web.errors import NotSignedIn, for_api
from web.security import guessing, second_factor
from web.security.caller import bearer_secret, caller, caller_or_none
from web.wiring import wired

# Everything else is closed to strangers, including views added later.
OPEN = {
    "sign_in.show_form",
    "sign_in.take_form",
    "sign_in.show_link",
    "sign_in.take_link",
    "sign_in.show_code",
    "sign_in.take_code",
    "health.health",
    "bootstrap.static",
    "static",
}
# What people may do before they have set their own password and second factor.
_FIRST = {"sign_in.sign_out"}
_PASSWORD = {"account.show_password", "account.change_password"}
_SECOND_FACTOR = {"second_factor.show", "second_factor.enable"}


def connect(app: Flask) -> None:
    """Require a sign-in for every view that is not in the list of open ones."""
    app.before_request(_require_sign_in)


def _require_sign_in() -> Response | None:
    if request.endpoint is None or request.endpoint in OPEN:
        return None
    if caller_or_none() is None:
        if bearer_secret() is None:
            raise NotSignedIn("Please sign in.")
        guessing.spend(wired().database, [guessing.of_address("token")])
        raise NotSignedIn("This token is unknown or has expired. Make a new one.")
    # A program's token was made by somebody who had done these things already.
    return None if bearer_secret() is not None else _first_duty(caller().user)


def _first_duty(user: User) -> Response | None:
    """Redirect somebody to what they must do before anything else; None if there is nothing."""
    if user.first_password_until is not None:
        page, sentence = "account.show_password", "Choose your own password first."
        allowed = _PASSWORD
    elif user.totp_secret is None and second_factor.is_required(
        wired().settings.require_totp, user
    ):
        page, sentence = "second_factor.show", "Set up your second factor first."
        allowed = _SECOND_FACTOR
    else:
        return None
    if request.endpoint in allowed | _FIRST:
        return None
    if for_api():
        raise NotAllowed(sentence)
    return redirect(url_for(page))
