"""Commands that run the whole system or parts of it, and maintain its database."""

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
@click.option("--workers", type=click.IntRange(1), help="Worker processes [one per core].")
def up(**options: Any) -> None:
    """Run the whole system on this machine.

    Starts the queue, the workers, the sweep and the pages, prints a sign-in link, and restarts any
    part that ends. Ctrl-C stops everything. All data is in one folder, by default ~/.hematovision.
    """
    from hematovision import local
    from web.security import transport

    chosen = {name: value for name, value in options.items() if value is not None}
    if "data" in chosen:
        chosen["data"] = chosen["data"].absolute()
    settings = Settings.from_env(**chosen)
    if transport.exposes(settings):
        click.echo(f"Warning: {transport.EXPOSED}", err=True)
    local.run(settings, click.echo)


def _ready() -> Settings:
    """Return the settings. Raises `DatabaseTrouble` if the tables are of another version."""
    import migrations

    settings = Settings.from_env()
    migrations.require_current(settings.database)
    return settings


@click.command()
def web() -> None:
    """Run only the web server. Several may run side by side."""
    from web.security import transport
    from web.serving.server import serve

    settings = _ready()
    if transport.exposes(settings):
        click.echo(f"Warning: {transport.EXPOSED}", err=True)
    serve(settings)


@click.command()
@click.option("--workers", type=click.IntRange(1), help="Worker processes [one per core].")
@click.option("--threads", type=click.IntRange(1), help="Cores per process [shared evenly].")
def worker(workers: int | None, threads: int | None) -> None:
    """Run only the workers, which classify images. Any number may run, on any machines."""
    # NumPy reads this once, when it is loaded. Its own threads would compete with ours.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from worker.main import serve

    settings = _ready()
    serve(settings, processes=workers or settings.workers, threads=threads or settings.threads)


@click.command()
def sweep() -> None:
    """Run only the sweep, which finds lost work and queues it again. Running two does no harm."""
    from worker.sweeper import serve

    serve(_ready())


@click.group()
def db() -> None:
    """Update the database tables, and clean the image store."""


@db.command()
@click.option("--hours", type=click.IntRange(0), default=24, show_default=True, help="Minimum age.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def clean(hours: int, yes: bool) -> None:
    """Delete stored files that nothing needs.

    Crashes can leave files that the database does not refer to. Newer files may belong to work
    under way. Before using --hours 0, make sure nothing is running.
    """
    from core.installation import open_installation
    from core.jobs import purging

    opened = open_installation(_ready())
    seen, strays = purging.strays(opened.database, opened.blobs, hours * 3600)
    click.echo(f"{len(strays):,} of {seen:,} stored files are not needed by the database.")
    if strays and (yes or click.confirm("Delete them?")):
        purging.remove_strays(opened.database, opened.blobs, strays)
        click.echo("Deleted.")


@db.command()
@click.option("--revision", default="head", show_default=True, help="The table revision to reach.")
@click.option("--adopt-store", is_flag=True, help="Accept the image store as ours.")
def upgrade(revision: str, adopt_store: bool) -> None:
    """Create or update the tables. Also adds the roles and links the image store."""
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
