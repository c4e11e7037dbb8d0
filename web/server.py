"""The web server: gunicorn with threads, in the foreground, until a signal ends it."""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from core.db import Database
from core.errors import ConfigurationError
from core.installation import open_store
from core.memory import share_heaps
from core.queue import CeleryQueue
from core.settings import Settings
from web import create_app, require_secret

_BACKLOG = 512
# A sender that is silent for so long is taken to be gone.
RECEIVE_SECONDS = 30


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the secret key is too short, or the address can't be listened on.
    """
    require_secret(settings)
    listening = _listen(settings.host, settings.port)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    _Server(settings, listening).run()


def _listen(host: str, port: int) -> socket.socket:
    """Bind before gunicorn does, which would try for seconds and then end with a bare exit."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} of {host} can't be used: {os.strerror(error.errno or 0)}. "
            "Stop what uses it, or choose another with HEMATOVISION_PORT."
        ) from error
    _limit_silence(listening)
    return listening


def _limit_silence(listening: socket.socket) -> None:
    """Let reads of half a request end: gunicorn's threads would wait for the rest for ever.

    Accepted sockets take the limit over; a read that exceeds it raises `BlockingIOError`.
    """
    if sys.platform == "linux":
        limit = struct.pack("ll", RECEIVE_SECONDS, 0)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn told what to serve by objects, not by a command line."""

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings = settings
        # gunicorn takes the socket over; asked again on a reload, it must hear the same number.
        self._descriptor = listening.detach()
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn up from our settings."""
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def _options(self) -> dict[str, Any]:
        return {
            "bind": f"fd://{self._descriptor}",
            "worker_class": "gthread",
            "workers": self._settings.web_workers,
            "threads": self._settings.web_threads,
            # Each process opens its own database and broker connections.
            "preload_app": False,
            "timeout": 60,
            "graceful_timeout": 10,
            "keepalive": 15,
            "loglevel": self._settings.log_level.lower(),
            # `web.protection` logs requests, by route: gunicorn's log would show secret links.
            "accesslog": None,
            "forwarded_allow_ips": "",
            "control_socket_disable": True,
        }

    def load(self) -> Flask:
        """Wire one process."""
        share_heaps()
        settings = self._settings
        database = Database(settings.database)
        return create_app(
            settings,
            database=database,
            blobs=open_store(settings, database, intake=True),
            queue=CeleryQueue(settings.redis_url),
        )
