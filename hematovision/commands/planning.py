"""The command that says how many workers a batch needs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import click

from core.settings import Settings
from lexicon.words import counted

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
        measured = planning.measure(session, speed)
    left = (at - now).total_seconds()
    answer = planning.plan(images, left, measured)
    waiting = f", after {measured.waiting:,} already waiting," if measured.waiting else ""
    click.echo(
        f"{counted(images, 'image')}{waiting} by {at:%H:%M}, in {duration(left)}: "
        f"{answer.rate:,.1f} images/s."
    )
    source = "as given" if speed else "as measured here"
    click.echo(
        f"A worker process does {measured.speed:,.1f} images/s, {source}: "
        f"{answer.processes:,} needed, {measured.processes:,} running."
    )
    click.echo(_advice(answer, measured, now))
    click.echo(_room(answer))


def _advice(answer: Plan, measured: Measured, now: dt.datetime) -> str:
    from lexicon.words import duration

    if answer.seconds is None:
        return "No workers are running. Start some with `hematovision worker --workers N`."
    done = now + dt.timedelta(seconds=answer.seconds)
    words = f"The running ones will be done in {duration(answer.seconds)}, at {done:%H:%M}."
    if answer.processes <= measured.processes:
        return words
    more = answer.processes - measured.processes
    return f"{words} Add {more:,} more, with a core each."


def _room(answer: Plan) -> str:
    rows = f"{_size(answer.database_bytes)} in the database"
    if answer.store_bytes is None:
        return f"Space: {rows}. The size of the files is not known until some have been sent."
    return f"Space: {_size(answer.store_bytes)} for the files, {rows}."


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
