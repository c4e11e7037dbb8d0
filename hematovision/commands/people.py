"""Commands for people and their tokens, on the machine that holds the database."""

from __future__ import annotations

import click

from core.accounts import RoleName
from core.settings import Settings

_ROLES = click.Choice([role.value for role in RoleName])


@click.group()
def user() -> None:
    """Add and list people, and make their API tokens."""


@user.command()
@click.argument("email")
@click.option("--role", type=_ROLES, required=True, help="What the person does here.")
@click.password_option(
    envvar="HEMATOVISION_PASSWORD", help="At least 10 characters; asked for if not given."
)
def add(email: str, role: str, password: str) -> None:
    """Add a person who signs in with EMAIL and a password."""
    from core.db import Database
    from web.accounts import add_user

    person = add_user(Database(Settings.from_env().database), email, password, RoleName(role))
    click.echo(f"{person.email} may now sign in as {role}.")


@user.command()
@click.argument("email")
@click.option("--jobs-to", metavar="EMAIL", help="Who gets their jobs.")
@click.option("--delete-jobs", is_flag=True, help="Delete their jobs with them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(email: str, jobs_to: str | None, delete_jobs: bool, yes: bool) -> None:
    """Delete the person EMAIL: out at once, erased when the grace period is over."""
    from core import accounts, erasure
    from core.db import Database
    from hematovision.operator import operator

    if bool(jobs_to) == delete_jobs:
        raise click.UsageError("Say what becomes of their jobs: --jobs-to EMAIL or --delete-jobs.")
    settings = Settings.from_env()
    if not yes:
        click.confirm(f"Delete {email}?", abort=True)
    with Database(settings.database).writing() as session:
        person = accounts.find_person(session, email)
        heir = accounts.find_person(session, jobs_to) if jobs_to else None
        erasure.delete_person(session, person, settings, operator(), heir=heir)
        day = person.erase_at.date() if person.erase_at else ""
    click.echo(f"{person.email} can no longer sign in and is erased on {day}.")


@user.command()
@click.argument("email")
def restore(email: str) -> None:
    """Take the deletion of the person EMAIL back."""
    from core import accounts, erasure
    from core.db import Database
    from hematovision.operator import operator

    with Database(Settings.from_env().database).writing() as session:
        person = accounts.find_person(session, email)
        erasure.restore_person(session, person, operator())
    click.echo(f"{person.email} may sign in again.")


@user.command("list")
def list_() -> None:
    """List everybody, with their roles."""
    from sqlalchemy import select

    from core.db import Database
    from core.models import User

    with Database(Settings.from_env().database).reading() as session:
        for person in session.scalars(select(User).order_by(User.email)):
            roles = ", ".join(role.name for role in person.roles)
            click.echo(f"{person.email}\t{roles}\t{'active' if person.active else 'inactive'}")


@user.command()
@click.argument("email")
@click.option("--name", default="command line", show_default=True, help="What the token is for.")
def token(email: str, name: str) -> None:
    """Make an API token for EMAIL and print it; it can't be read again."""
    from core import accounts
    from core.db import Database
    from core.states import TokenKind

    with Database(Settings.from_env().database).writing() as session:
        person = accounts.find_person(session, email)
        click.echo(accounts.issue_token(session, person, TokenKind.API, name))
