"""The web server, in the foreground, until a signal ends it.

gunicorn manages the processes: it restarts those that die or hang, and stops them in time. In each,
uvicorn speaks HTTP in an event loop, so that a slow connection costs only a socket and some
kilobytes, and `web.serving.bridge` gives Flask a thread when there is work to do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
from functools import partial
from typing import Any, cast

import uvicorn
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.base import Worker

from core.errors import ConfigurationError
from core.installation import open_installation
from core.memory import share_heaps
from core.settings import Settings
from web import create_app, require_secret
from web.serving.arriving import Patience
from web.serving.bridge import Bridge
from web.serving.connections import Connection, OpenConnections

_BACKLOG = 1024
# Files that a process has open besides its connections.
_OWN_FILES = 256
_MOST_FILES = 65_536
# It must stop within this time: `hematovision up` waits 8 seconds, Docker 10.
_STOP_SECONDS = 6
_FINISH_SECONDS = 4
_HEARTBEAT_SECONDS = 5


def serve(settings: Settings, patience: Patience | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the secret key is too short, or the address can't be used.
    """
    require_secret(settings)
    listening = _listen(settings.host, settings.port)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    # It would repeat what `security.protection` logs, and add a line for each broken request.
    logging.getLogger("uvicorn").setLevel(max(logging.ERROR, logging.getLogger().level))
    _Server(settings, listening, patience or Patience()).run()


def _listen(host: str, port: int) -> socket.socket:
    """Bind before gunicorn does: it would retry for seconds and then exit without a message."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} on {host} can't be used: {os.strerror(error.errno or 0)}. "
            "Stop the program that uses it, or choose another port with HEMATOVISION_PORT."
        ) from error


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured by objects and not by a command line."""

    def __init__(self, settings: Settings, listening: socket.socket, patience: Patience) -> None:
        self.settings = settings
        self.patience = patience
        # gunicorn takes the socket over; after a reload it must get the same descriptor.
        self._descriptor = listening.detach()
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn up from our settings."""
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def _options(self) -> dict[str, Any]:
        return {
            "bind": f"fd://{self._descriptor}",
            "worker_class": _Process,
            "workers": self.settings.web_workers,
            # Each process opens its own database and broker connections.
            "preload_app": False,
            "timeout": 60,
            "graceful_timeout": _STOP_SECONDS,
            "loglevel": self.settings.log_level.lower(),
            "control_socket_disable": True,
        }

    def load(self) -> Flask:
        """Wire the application for one process."""
        share_heaps()
        return create_app(open_installation(self.settings, intake=True))


class _Process(Worker):  # type: ignore[misc]
    """One of gunicorn's processes, in which uvicorn serves."""

    def init_signals(self) -> None:
        """Leave the signals to uvicorn, which takes them when it serves."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGUSR1, self.handle_usr1)

    def run(self) -> None:
        """Serve until a signal, or until the parent is gone."""
        if self.alive:
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = uvicorn.Server(self._config())
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGQUIT, server.handle_exit, signal.SIGQUIT, None
        )
        self._uvicorn = server
        await server.serve(sockets=[listener.sock for listener in self.sockets])

    def _config(self) -> uvicorn.Config:
        served = cast(_Server, self.app)
        settings, patience = served.settings, served.patience
        # Behind a proxy all connections come from one address; the proxy limits those behind it.
        most_each = (
            settings.web_connections if settings.trusted_proxies else settings.web_connections_each
        )
        most = _allow_connections(settings.web_connections)
        open_connections = OpenConnections(most, most_each, patience)
        return uvicorn.Config(
            Bridge(self.wsgi, settings.web_threads, settings.web_upload_threads, patience),
            http=cast(type[asyncio.Protocol], partial(Connection, open_connections)),
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            # `create_app` decides which proxies are trusted.
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=_FINISH_SECONDS,
            timeout_notify=_HEARTBEAT_SECONDS,
            callback_notify=self._beat,
        )

    async def _beat(self) -> None:
        self.notify()
        if os.getppid() != self.ppid:
            self._uvicorn.should_exit = True


def _allow_connections(wanted: int) -> int:
    """Ask the kernel for more open files; return how many connections they allow."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(1, min(wanted, files - _OWN_FILES))
