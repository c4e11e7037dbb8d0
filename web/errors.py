"""Turns every exception into a page or JSON; this is done nowhere else.

web adds two classes to the tree of `core.errors`:

HematoVisionError
├── TooManyRequests  more requests in a minute than one person, or all together, may make
└── NotSignedIn      nobody is signed in, or the token is unknown
"""

from __future__ import annotations

import logging

from flask import (
    Flask,
    Response,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DataError, DBAPIError
from werkzeug.exceptions import ClientDisconnected, HTTPException
from werkzeug.wrappers import Response as AnyResponse

from contract.errors import ErrorAnswer, ErrorDetails
from core.errors import (
    BadArchive,
    BadInput,
    BlobDamaged,
    BlobMissing,
    Conflict,
    DatabaseTrouble,
    HematoVisionError,
    NoSpace,
    NotAllowed,
    NotFound,
    QueueUnavailable,
    QuotaExceeded,
    Refused,
    StoreAway,
    TooManyAttempts,
    TooManyJobs,
)
from core.jobs.intentions import KeyTaken
from core.outages import trouble_of
from web.answers import json_answer

_log = logging.getLogger(__name__)


class TooManyRequests(HematoVisionError):
    """Nothing was done; the request may be repeated after ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many requests. Nothing was done; try again in {seconds} s.")
        self.seconds = seconds


class NotSignedIn(HematoVisionError):
    """The sender of the request is not known."""


_STATUS: dict[type[HematoVisionError], int] = {
    BadInput: 400,
    BadArchive: 400,
    Refused: 400,
    NotSignedIn: 401,
    NotAllowed: 403,
    NotFound: 404,
    BlobMissing: 404,
    BlobDamaged: 404,
    Conflict: 409,
    TooManyJobs: 409,
    QuotaExceeded: 413,
    TooManyAttempts: 429,
    TooManyRequests: 429,
    DatabaseTrouble: 503,
    KeyTaken: 422,
    QueueUnavailable: 503,
    StoreAway: 503,
    NoSpace: 507,
}
# Programs may try again after this many seconds when something is out of order.
_RETRY_AFTER = {503: 5, 507: 30}
_SENTENCES = {
    400: "The request could not be understood. Go back, reload the page and try again.",
    404: "There is no such page. Start again from the list of jobs.",
    405: "This address does not accept that kind of request.",
    413: "The request is too large. Send images one file at a time, each within the limit.",
    415: "The request has the wrong content type.",
    429: "Too many attempts. Wait a minute, then try again.",
}
_STALE_FORM = "This page was open for too long. Reload it, then try again."
_BROKEN = "Something went wrong on the server. Everything confirmed before is safe. Try again."
_UNFIT = "The request contains a character or a number that can't be used. Change it and try again."
_BROKE_OFF = "The connection was lost during the request. Send it again."


def connect(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(HematoVisionError, _ours)
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DataError, _unfit)
    app.register_error_handler(DBAPIError, _outage)
    app.register_error_handler(OSError, _outage)
    app.register_error_handler(ClientDisconnected, _broke_off)
    app.register_error_handler(Exception, _unexpected)


def code_of(error: Exception) -> str:
    """Return the stable word that programs read, such as ``not_found``."""
    if isinstance(error, Refused):
        return error.code
    if isinstance(error, DatabaseTrouble):
        return f"database_{error.code}"
    name = type(error).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")


def for_api() -> bool:
    """Say whether this request wants JSON."""
    return request.path.startswith("/api/")


def _for_script() -> bool:
    """Say whether a page's script asks for a part of it; a redirect would be useless to it."""
    return request.headers.get("X-Requested-With") == "fetch"


def _ours(error: HematoVisionError) -> AnyResponse:
    if isinstance(error, NotSignedIn) and not for_api() and not _for_script():
        return _to_sign_in(str(error))
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    answer = _answer(status, code_of(error), str(error))
    if isinstance(error, TooManyAttempts | TooManyRequests):
        answer.headers["Retry-After"] = str(error.seconds)
    return answer


def _to_sign_in(message: str) -> AnyResponse:
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    if wanted != "/":
        flash(message, "info")
    return redirect(url_for("sign_in.show_form", next=None if wanted == "/" else wanted))


def _stale_form(_: CSRFError) -> AnyResponse:
    return _answer(400, "csrf", _STALE_FORM)


def _http(error: HTTPException) -> AnyResponse:
    status = error.code or 500
    if status < 400:
        return error.get_response()
    sentence = _SENTENCES.get(status, _BROKEN if status >= 500 else error.description or "")
    return _answer(status, code_of(error), sentence)


def _outage(error: DBAPIError | OSError) -> AnyResponse:
    """Answer for a database or a disk that is out of order; other errors are unexpected."""
    trouble = trouble_of(error)
    if trouble is None:
        return _unexpected(error)
    # The statement and its parameters stay out of the log: they may hold file names.
    cause = error.orig if isinstance(error, DBAPIError) else error
    _log.error("%s (%s)", trouble, type(cause).__name__)
    return _ours(trouble)


def _broke_off(_: ClientDisconnected) -> AnyResponse:
    """Answer a request whose body did not arrive whole, if the sender is still there."""
    return _answer(400, "broke_off", _BROKE_OFF)


def _unfit(error: DataError) -> AnyResponse:
    """Answer for a value that passed all checks but not the database, such as a NUL character."""
    _log.warning("The database can't take a value: %s", type(error.orig).__name__)
    return _answer(400, "unfit", _UNFIT)


def _unexpected(error: Exception) -> AnyResponse:
    _log.error("Unexpected %s", type(error).__name__, exc_info=error)
    return _answer(500, "internal", _BROKEN)


def _page(status: int, message: str) -> str:
    if status < 500:
        return render_template("error.html", status=status, message=message)
    # Without the context processors: they ask the database who is signed in, and it may be away.
    template = current_app.jinja_env.get_template("error.html")
    return template.render(status=status, message=message, laboratory="")


def _answer(status: int, code: str, message: str) -> Response:
    if for_api():
        details = ErrorDetails(code=code, message=message)
        response = json_answer(ErrorAnswer(error=details), status)
    else:
        response = make_response(_page(status, message), status)
    if status in _RETRY_AFTER:
        response.headers["Retry-After"] = str(_RETRY_AFTER[status])
    return response
