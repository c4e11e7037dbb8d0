"""What protects every request: CSRF checks, body limits, headers, request ids."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time

from flask import Flask, Response, g, request
from flask_wtf.csrf import CSRFProtect

from core.errors import BadInput
from core.settings import Settings
from web.security.caller import bearer_secret
from web.security.sign_in import OPEN

_log = logging.getLogger("web.requests")
# The most that those send who show neither a cookie nor a token: their forms are a few lines.
STRANGERS_BYTES = 8 * 1024

# No inline script, no inline style, nothing from elsewhere. `blob:` shows a picture before it is
# sent, `data:` are the arrows and ticks within Bootstrap's own style sheet.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_FORM_BYTES = 256 * 1024
_MANIFEST_BYTES = 8 * 1024 * 1024


def connect(app: Flask, settings: Settings) -> None:
    """Register the hooks; after `sign_in.connect`, so that strangers are sent away first."""
    app.config.from_mapping(
        MAX_CONTENT_LENGTH=_FORM_BYTES,
        WTF_CSRF_CHECK_DEFAULT=False,
        # An upload of thousands of files outlives any hour; the token ends with the session.
        WTF_CSRF_TIME_LIMIT=None,
    )
    csrf = CSRFProtect(app)

    @app.before_request
    def check() -> None:
        _limit_body(settings)
        # A foreign page can't make a browser send a token's header, so there is nothing to forge.
        if request.endpoint is not None and bearer_secret() is None:
            csrf.protect()

    app.after_request(_add_headers)


def _limit_body(settings: Settings) -> None:
    """Allow each kind of request a body as large as it needs and no larger."""
    if request.endpoint in OPEN:
        request.max_content_length = STRANGERS_BYTES
    elif request.endpoint in {"uploads.put_image", "archives.put_archive"}:
        if request.mimetype in {"multipart/form-data", "application/x-www-form-urlencoded"}:
            raise BadInput("Send the file as the raw request body, as application/octet-stream.")
        # Streamed, never held: `core.intake` stops at the largest that it takes.
        request.max_content_length = sys.maxsize
    elif request.endpoint == "uploads.manifest":
        request.max_content_length = _MANIFEST_BYTES
    elif request.endpoint == "submit.predict":
        request.max_content_length = settings.max_file_bytes + _FORM_BYTES


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    # What a person sees must not stay in a shared computer's cache after signing out.
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def number_requests(app: Flask) -> None:
    """Give every request an id and log it by its route: a path may hold a secret link."""

    @app.before_request
    def begin() -> None:
        proposed = request.headers.get("X-Request-ID", "")
        usable = re.fullmatch(r"[\w-]{8,64}", proposed)
        g.request_id = proposed if usable else secrets.token_hex(8)
        g.began = time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unknown"
        spent = (time.monotonic() - g.began) * 1000
        _log.info(
            "%s %s %d %.0f ms %s", request.method, route, response.status_code, spent, g.request_id
        )
        response.headers["X-Request-ID"] = g.request_id
        return response
