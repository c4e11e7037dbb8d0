"""Commands that check the audit trail and print it."""

from __future__ import annotations

import json
from typing import Any

import click

from core.settings import Settings
from lexicon.words import counted


@click.group()
def audit() -> None:
    """Check the audit trail, and list its entries."""


@audit.command()
@click.option("--expect", help="A digest kept elsewhere, which must still be part of the trail.")
def verify(expect: str | None) -> None:
    """Check that no entry was changed, removed or inserted.

    Prints the newest digest. Keep it where an administrator of this machine can't change it. Given
    to a later check with --expect, it also reveals whether the whole trail was rewritten.
    """
    from core import audit as trail
    from core.db import Database

    with Database(Settings.from_env().database).reading() as session:
        checked = trail.verify(session, expect)
    if checked.fault:
        raise click.ClickException(
            f"{checked.fault} Entries before that are sound: {checked.entries:,}."
        )
    click.echo(f"The audit trail is intact: {counted(checked.entries, 'entry', 'entries')}.")
    if expect is not None:
        click.echo(f"The expected digest belongs to entry {checked.expected_at:,}.")
    click.echo(checked.digest)


@audit.command("list")
@click.option("--count", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--subject", help="Only entries about this object, such as 'job 17'.")
@click.option("--person", help="Only entries of the person with this e-mail address.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def list_(count: int, subject: str | None, person: str | None, as_json: bool) -> None:
    """List the latest entries, newest first."""
    from core import audit as trail
    from core.db import Database
    from core.people import accounts

    with Database(Settings.from_env().database).reading() as session:
        person_id = accounts.find_person(session, person).id if person else None
        entries = trail.newest(session, count, subject=subject, person_id=person_id)
    for entry in entries:
        row = {
            "number": entry.number,
            "at": entry.at.isoformat(timespec="seconds"),
            "actor": entry.actor,
            "action": entry.action,
            "subject": entry.subject,
            "address": entry.address,
            "session": entry.session,
            "request": entry.request,
            "detail": entry.detail,
        }
        click.echo(json.dumps(row) if as_json else _line(row))


def _line(row: dict[str, Any]) -> str:
    detail = ", ".join(f"{name} {value}" for name, value in row["detail"].items())
    columns = ("number", "at", "actor", "action", "subject", "address", "session", "request")
    return "\t".join([*(str(row[name]) for name in columns), detail])
