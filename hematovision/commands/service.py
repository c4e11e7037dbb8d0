"""Commands that run the system, whole or in parts, and look after its database."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from core.settings import Settings, table


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the pages [8000].")
@click.option("--host", help="Address the pages listen on [127.0.0.1].")
@click.option("--data", type=click.Path(path_type=Path), help="Folder for all data.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes [one a core].")
def up(**options: Any) -> None:
    """Run the whole system on this machine.

    Starts the queue, the workers, the sweep and the pages, prints a sign-in link, and restarts
    what dies. Ctrl-C stops everything; the data stays in one folder, ~/.hematovision by default.
    """
    from hematovision import local
    from web.security import transport

    given = {name: value for name, value in options.items() if value is not None}
    if "data" in given:
        given["data"] = given["data"].absolute()
    settings = Settings.from_env(**given)
    if transport.exposes(settings):
        click.echo(f"Warning: {transport.EXPOSED}", err=True)
    local.run(settings, click.echo)


def _ready() -> Settings:
    """Return the settings. Raises `DatabaseTrouble` if the tables are another version's."""
    import migrations

    settings = Settings.from_env()
    migrations.require_current(settings.database)
    return settings


@click.command()
def web() -> None:
    """Run the web server alone. Several may run side by side."""
    from web.security import transport
    from web.serving.server import serve

    settings = _ready()
    if transport.exposes(settings):
        click.echo(f"Warning: {transport.EXPOSED}", err=True)
    serve(settings)


@click.command()
@click.option("--workers", type=click.IntRange(1), help="Worker processes [one a core].")
@click.option("--threads", type=click.IntRange(1), help="Cores of each process [shared out].")
def worker(workers: int | None, threads: int | None) -> None:
    """Run classifying workers alone. Several may run side by side, on any number of machines."""
    # Read once, when NumPy is loaded: its threads would only fight with those that are counted.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from worker.main import serve

    settings = _ready()
    serve(settings, processes=workers or settings.workers, threads=threads or settings.threads)


@click.command()
def sweep() -> None:
    """Run the sweep alone: it finds lost work and rings for it again. More than one is harmless."""
    from worker.sweeper import serve

    serve(_ready())


@click.group()
def db() -> None:
    """Bring the database's tables up to date, and clean the image store."""


@db.command()
@click.option("--hours", type=click.IntRange(0), default=24, show_default=True, help="Least age.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(hours: int, yes: bool) -> None:
    """Delete stored files that no row of the database needs, such as crashes leave.

    Younger ones may belong to work that is under way: with --hours 0, make sure that nothing runs.
    """
    from core import jobs
    from core.installation import open_installation

    opened = open_installation(_ready())
    seen, strays = jobs.strays(opened.database, opened.blobs, hours * 3600)
    click.echo(f"The database needs all but {len(strays):,} of {seen:,} stored files.")
    if strays and (yes or click.confirm("Delete those?")):
        jobs.remove_strays(opened.database, opened.blobs, strays)
        click.echo("They are deleted.")


@db.command()
@click.option("--revision", default="head", show_default=True, help="Revision to go to.")
@click.option("--adopt-store", is_flag=True, help="Take the image store that is there for ours.")
def upgrade(revision: str, adopt_store: bool) -> None:
    """Make or change the tables, add the roles, and mark the image store as this database's."""
    from hematovision.installing import install

    install(Settings.from_env(), revision, adopt_unseen=adopt_store)
    click.echo(f"The database is at revision {revision}.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def settings(as_json: bool) -> None:
    """List every setting with its value."""
    values = Settings.from_env().model_dump(mode="json")
    values["secret_key"] = "(set)" if values["secret_key"] else ""
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    shown = Table("Variable", "Value", "What it is for", box=None)
    for row, value in zip(table(), values.values(), strict=True):
        shown.add_row(row.variable, str(value), row.help)
    Console().print(shown)
