"""Signing in, by session or by token, and who passes without."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from flask import Flask, Request, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_security import LoginForm, Security

from core import accounts
from core.settings import Settings
from core.states import TokenKind
from web.accounts import SHORTEST_PASSWORD, Account, Addresses, People, person
from web.errors import NotSignedIn
from web.wiring import Wiring

# All else is closed to strangers, a view that is added tomorrow included.
OPEN = {"security.login", "account.sign_in_by_link", "health.health", "bootstrap.static", "static"}
_FAILURES = "10 per minute"


class SignInForm(LoginForm):
    """Address and password; a shared bench computer must not remember anybody."""

    remember = None


def connect(app: Flask, wiring: Wiring) -> None:
    """Set Flask-Security up and close every door that is not in the list of open ones."""
    app.config.from_mapping(_configuration())
    people = People(wiring.database)
    security = Security(app, people, mail_util_cls=Addresses, login_form=SignInForm)
    _load_by_session_or_token(security.login_manager, people, wiring)
    app.before_request(_require_sign_in)
    _limit_failures(app, wiring.settings)


def _configuration() -> dict[str, object]:
    return {
        "SECURITY_LOGIN_URL": "/sign-in",
        "SECURITY_LOGOUT_URL": "/sign-out",
        "SECURITY_VERIFY_URL": "/sign-in-again",
        "SECURITY_POST_LOGOUT_VIEW": "/sign-in",
        "SECURITY_LOGIN_USER_TEMPLATE": "account/sign_in.html",
        "SECURITY_VERIFY_TEMPLATE": "account/sign_in_again.html",
        "SECURITY_PASSWORD_HASH": "argon2",
        "SECURITY_PASSWORD_SCHEMES": ["argon2"],
        "SECURITY_PASSWORD_SINGLE_HASH": {"argon2"},
        "SECURITY_PASSWORD_LENGTH_MIN": SHORTEST_PASSWORD,
        # The same sentence for an unknown address and a wrong password.
        "SECURITY_RETURN_GENERIC_RESPONSES": True,
        "SECURITY_MSG_GENERIC_AUTHN_FAILED": (
            "The address and the password do not match. Try again.",
            "error",
        ),
        "SECURITY_MSG_DISABLED_ACCOUNT": (
            "The address and the password do not match. Try again.",
            "error",
        ),
        "SECURITY_SEND_REGISTER_EMAIL": False,
        "SECURITY_CLI_USERS_NAME": "",
        "SECURITY_CLI_ROLES_NAME": "",
    }


def bearer_secret() -> str | None:
    """Return the token that this request to the API carries, if any."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not request.path.startswith("/api/v1/"):
        return None
    return secret.strip()


def _load_by_session_or_token(manager: LoginManager, people: People, wiring: Wiring) -> None:
    def by_session(uniquifier: str) -> Account | None:
        # A request with a token stands or falls with it, whatever cookie comes along.
        if bearer_secret() is not None:
            return None
        account = people.find_user(fs_uniquifier=uniquifier)
        return account if account and account.active else None

    def by_token(_: Request) -> Account | None:
        secret = bearer_secret()
        return _account_of(secret, wiring) if secret else None

    manager.user_loader(by_session)
    manager.request_loader(by_token)


def _account_of(secret: str, wiring: Wiring) -> Account | None:
    with wiring.database.reading() as session:
        token = accounts.find_token(session, secret, TokenKind.API)
    if token is None:
        return None
    if accounts.is_stale(token):
        with wiring.database.writing() as session:
            accounts.note_use(session, token)
    return Account(token.user)


def _require_sign_in() -> None:
    if request.endpoint is None or request.endpoint in OPEN:
        return
    try:
        person()
    except NotSignedIn:
        if bearer_secret() is not None:
            raise NotSignedIn("This token is unknown or has run out. Make a new one.") from None
        raise


def _limit_failures(app: Flask, settings: Settings) -> None:
    """Slow down guessing: failed sign-ins count by address, successful ones do not."""
    limiter = Limiter(
        get_remote_address,
        app=app,
        storage_uri=_limits_storage(settings.redis_url),
        storage_options=_storage_options(settings.redis_url),
        in_memory_fallback_enabled=True,
    )
    view = app.view_functions["security.login"]
    limited = limiter.limit(
        _FAILURES, methods=["POST"], deduct_when=lambda response: response.status_code != 302
    )
    app.view_functions["security.login"] = cast(Callable[..., ResponseReturnValue], limited(view))


def _limits_storage(redis_url: str) -> str:
    """Turn kombu's way of naming a Unix socket into redis-py's."""
    if redis_url.startswith("redis+socket://"):
        path, _, query = redis_url.removeprefix("redis+socket://").partition("?")
        database = next((q[13:] for q in query.split("&") if q.startswith("virtual_host=")), "0")
        return f"redis+unix://{path}?db={database}"
    return redis_url


def _storage_options(redis_url: str) -> dict[str, str | int]:
    if redis_url.startswith("memory:"):
        return {}
    return {"socket_connect_timeout": 1, "socket_timeout": 1}
