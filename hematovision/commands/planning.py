"""The command that says how many workers a batch needs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import click

from core.settings import Settings

if TYPE_CHECKING:
    from hematovision.planning import Measured, Plan


@click.command()
@click.option("--images", type=click.IntRange(1), required=True, help="Images in the batch.")
@click.option("--by", "when", required=True, help="When it must be done: 06:30, 90m, 8h.")
@click.option("--speed", type=click.FloatRange(0, min_open=True), help="Images/s of one process.")
def plan(images: int, when: str, speed: float | None) -> None:
    """Work out how many worker processes finish a batch in time, from speeds measured here.

    Images that are already waiting are taken to be done first. The command needs the database.
    """
    from core.db import Database
    from hematovision import planning
    from lexicon.words import duration

    now = dt.datetime.now().astimezone()
    at = planning.moment(when, now)
    with Database(Settings.from_env().database).reading() as session:
        known = planning.measured(session, speed)
    left = (at - now).total_seconds()
    found = planning.plan(images, left, known)
    waiting = f", after {known.waiting:,} already waiting," if known.waiting else ""
    click.echo(
        f"{images:,} images{waiting} by {at:%H:%M}, in {duration(left)}: "
        f"{found.rate:,.1f} images/s."
    )
    source = "as given" if speed else "as measured here"
    click.echo(
        f"A worker process does {known.speed:,.1f} images/s, {source}: {found.processes:,} needed, "
        f"{known.processes:,} running."
    )
    click.echo(_advice(found, known, now))
    click.echo(_room(found))


def _advice(found: Plan, known: Measured, now: dt.datetime) -> str:
    from lexicon.words import duration

    if found.seconds is None:
        return "No workers are running. Start some with `hematovision worker --workers N`."
    done = now + dt.timedelta(seconds=found.seconds)
    words = f"The running ones will be done in {duration(found.seconds)}, at {done:%H:%M}."
    if found.processes <= known.processes:
        return words
    more = found.processes - known.processes
    return f"{words} Add {more:,} more, with a core each."


def _room(found: Plan) -> str:
    rows = f"{_size(found.database_bytes)} in the database"
    if found.store_bytes is None:
        return f"Space: {rows}. The size of the files is not known until some have been sent."
    return f"Space: {_size(found.store_bytes)} for the files, {rows}."


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
