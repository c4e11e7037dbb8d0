"""How the pages are reached: under which host names, and whether the connection is encrypted.

A browser can be tricked into calling this server under a foreign name that resolves to its address
(DNS rebinding); it then takes the answers for those of the foreign site. So the server answers only
to names that it knows; an address in digits can't be rebound.
"""

from __future__ import annotations

import ipaddress
import socket

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface

from core.errors import BadInput
from core.people.accounts import RoleName, has_role
from core.settings import Settings
from web.errors import NotSignedIn
from web.security.caller import person

# One year, as browsers' preload lists ask for.
_HSTS = "max-age=31536000"
_UNKNOWN_HOST = (
    "The pages are not available under this host name. Open them by their IP address, or ask an "
    "administrator to add the name to HEMATOVISION_ALLOWED_HOSTS."
)
EXPOSED = (
    "The pages can be reached from the network without encryption: passwords and images can be "
    "read on the way. Put a TLS proxy in front of the server; docs/settings.md explains how."
)


class _Cookies(SecureCookieSessionInterface):
    """Marks cookies as Secure on every encrypted connection, whatever the settings."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return super().get_cookie_secure(app) or request.is_secure


def connect(app: Flask, settings: Settings) -> None:
    """Register the hooks; call this first, so that requests under a foreign name learn nothing."""
    app.session_interface = _Cookies()
    names = known_names(settings)

    @app.before_request
    def require_known_host() -> None:
        if not answers(request.host, names):
            raise BadInput(_UNKNOWN_HOST)

    @app.after_request
    def stay_encrypted(response: Response) -> Response:
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", _HSTS)
        return response

    @app.context_processor
    def warning() -> dict[str, str]:
        return {"exposed": EXPOSED if _is_exposed() else ""}


def known_names(settings: Settings) -> frozenset[str]:
    """Return the host names that the server answers to, besides addresses in digits."""
    listed = {name.strip().lower() for name in settings.allowed_hosts.split(",")} - {""}
    return frozenset(listed | {"localhost", socket.gethostname().lower(), settings.host.lower()})


def answers(host: str, names: frozenset[str]) -> bool:
    """Say whether this ``Host``, a name or an address with or without a port, is answered."""
    name = _without_port(host).lower().rstrip(".")
    return name in names or _is_address(name)


def exposes(settings: Settings) -> bool:
    """Say whether these settings open the pages to the network without encryption."""
    guarded = settings.secure_cookies or settings.trusted_proxies
    return not guarded and not _is_loopback(settings.host)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _is_exposed() -> bool:
    """Say whether an administrator reads this page over the network without encryption."""
    if request.is_secure or _is_loopback(_without_port(request.host)):
        return False
    try:
        return has_role(person(), RoleName.ADMINISTRATOR)
    except NotSignedIn:
        return False
