"""The pages and the HTTP API. `create_app` wires them; the views are in `pages` and `api`.

web takes bytes in through core and shows what SQL holds. It never runs a network and never makes a
PDF. It imports no room but core and lexicon.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import flask_bootstrap
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter, Map
from whitenoise import WhiteNoise

from core.errors import ConfigurationError
from core.installation import Installation
from core.settings import Settings
from web import api, errors, pages
from web.listing.cursors import LARGEST, LARGEST_BIG
from web.security import protection, rates, sign_in, transport
from web.shown import formatting
from web.wiring import Wiring, attach

_SHORTEST_SECRET = 32


class Identifier(IntegerConverter):
    """A row's id in a URL. A number too large for its column belongs to no row and gives a 404."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=LARGEST)


class ImageIdentifier(IntegerConverter):
    """An image's id in a URL, whose column is a big integer."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=LARGEST_BIG)


def create_app(opened: Installation) -> Flask:
    """Return the application. Raises `ConfigurationError` if the secret key is too short."""
    settings = opened.settings
    require_secret(settings)
    app = Flask(__name__)
    app.config.from_mapping(_configuration(settings))
    attach(Wiring(settings, opened.database, opened.blobs, opened.queue), app.extensions)
    app.url_map.converters |= {"id": Identifier, "image": ImageIdentifier}
    protection.number_requests(app)
    errors.connect(app)
    transport.connect(app, settings)
    flask_bootstrap.Bootstrap5(app)
    sign_in.connect(app)
    rates.connect(app, settings)
    protection.connect(app, settings)
    formatting.connect(app, settings)
    for blueprint in (*pages.blueprints(), *api.blueprints()):
        app.register_blueprint(blueprint)
    _serve_static_files(app)
    _trust_proxies(app, settings.trusted_proxies)
    return app


def require_secret(settings: Settings) -> None:
    """Raise `ConfigurationError` if the secret key is short enough to be guessed."""
    if len(settings.secret_key) < _SHORTEST_SECRET:
        raise ConfigurationError(
            f"HEMATOVISION_SECRET_KEY must be at least {_SHORTEST_SECRET} random characters long."
        )


def _configuration(settings: Settings) -> dict[str, object]:
    return {
        "SECRET_KEY": settings.secret_key,
        "BOOTSTRAP_SERVE_LOCAL": True,
        "SESSION_COOKIE_NAME": "hematovision",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.secure_cookies,
        "PERMANENT_SESSION_LIFETIME": dt.timedelta(hours=settings.session_hours),
        # A cookie that changed with every answer would spoil the browser's cache of pictures.
        "SESSION_REFRESH_EACH_REQUEST": False,
    }


def _serve_static_files(app: Flask) -> None:
    """Serve our files and Bootstrap's style by whitenoise, ahead of Flask and without a session."""
    ours = Path(__file__).parent / "static"
    bootstrap = Path(flask_bootstrap.__file__).parent / "static" / "bootstrap5"
    style = "css/bootstrap.min.css"
    noise = WhiteNoise(app.wsgi_app, max_age=0, add_headers_function=_add_headers)
    noise.add_files(str(ours), prefix="static/")
    # We use only this one file of Bootstrap; its folder also holds two dozen themes.
    noise.add_file_to_dictionary(f"/bootstrap/static/{style}", str(bootstrap / style))
    app.wsgi_app = noise  # type: ignore[method-assign]


def _add_headers(headers: object, _path: str, _url: str) -> None:
    for name, value in protection.HEADERS.items():
        headers[name] = value  # type: ignore[index]


def _trust_proxies(app: Flask, count: int) -> None:
    if count:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count
        )
