"""Commands for people and their tokens, on the machine that holds the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.people.accounts import RoleName
from core.settings import Settings

if TYPE_CHECKING:
    from core.db import Database

_ROLES = click.Choice([role.value for role in RoleName])


@click.group()
def user() -> None:
    """Add, change and list people, reset passwords, and create sign-in links and API tokens."""


@user.command()
@click.argument("email")
@click.option("--role", type=_ROLES, required=True, help="The person's role here.")
@click.option(
    "--password",
    envvar="HEMATOVISION_PASSWORD",
    is_flag=False,
    flag_value="",
    help="A password chosen by the person; you are asked for it if none follows. Without this "
    "option, a first password is generated, to be changed at the first sign-in.",
)
def add(email: str, role: str, password: str | None) -> None:
    """Add a person. They will sign in with EMAIL and a password."""
    from core.people.membership import add_person
    from hematovision.operator import operator

    if password == "":
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    admission = add_person(_database(), operator(), email, role, password)
    click.echo(f"{admission.person.email} can now sign in as {role}.")
    if admission.first_password is not None:
        _say_first_password(admission.first_password)


@user.command()
@click.argument("email")
@click.option("--jobs-to", metavar="EMAIL", help="Who takes over their jobs.")
@click.option("--delete-jobs", is_flag=True, help="Delete their jobs as well.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(email: str, jobs_to: str | None, delete_jobs: bool, yes: bool) -> None:
    """Delete the person EMAIL. Access ends at once; the data is erased after the grace period."""
    from core.db import Database
    from core.people import accounts, erasure
    from hematovision.operator import operator

    if bool(jobs_to) == delete_jobs:
        raise click.UsageError("Say what to do with their jobs: --jobs-to EMAIL or --delete-jobs.")
    settings = Settings.from_env()
    if not yes:
        click.confirm(f"Delete {email}?", abort=True)
    with Database(settings.database).writing() as session:
        person = accounts.find_person(session, email)
        heir = accounts.find_person(session, jobs_to) if jobs_to else None
        erasure.delete_person(session, person, settings, operator(), heir=heir)
        day = person.erase_at.date() if person.erase_at else ""
    click.echo(f"{person.email} can no longer sign in and will be erased on {day}.")


@user.command()
@click.argument("email")
def restore(email: str) -> None:
    """Undo the deletion of the person EMAIL."""
    from core.db import Database
    from core.people import accounts, erasure
    from hematovision.operator import operator

    with Database(Settings.from_env().database).writing() as session:
        person = accounts.find_person(session, email)
        erasure.restore_person(session, person, operator())
    click.echo(f"{person.email} can sign in again.")


@user.command("list")
def list_() -> None:
    """List all people with their roles."""
    from sqlalchemy import select

    from core.tables import User

    with _database().reading() as session:
        for person in session.scalars(select(User).order_by(User.email)):
            roles = ", ".join(role.name for role in person.roles)
            click.echo(f"{person.email}\t{roles}\t{'active' if person.active else 'inactive'}")


@user.command()
@click.argument("email")
def reset(email: str) -> None:
    """Give EMAIL a new first password. Their sessions, links and API tokens end."""
    from core.people.membership import reset_password
    from hematovision.operator import operator

    database = _database()
    _say_first_password(reset_password(database, operator(), _id_of(database, email)))


@user.command("remove-second-factor")
@click.argument("email")
def remove_second_factor(email: str) -> None:
    """Remove the second factor of EMAIL. They then sign in with the password alone."""
    from core.people import membership
    from hematovision.operator import operator

    database = _database()
    with database.writing() as session:
        membership.remove_second_factor(session, operator(), _id_of(database, email))
    click.echo(f"{email} now signs in with the password alone.")


@user.command()
@click.argument("email")
@click.argument("role", type=_ROLES)
def role(email: str, role: str) -> None:
    """Give EMAIL another ROLE."""
    from core.people.membership import set_role
    from hematovision.operator import operator

    database = _database()
    with database.writing() as session:
        person = set_role(session, operator(), _id_of(database, email), role)
    click.echo(f"{person.email} is {role} from now on.")


@user.command()
@click.argument("email")
def deactivate(email: str) -> None:
    """End the access of EMAIL. Sessions, links and API tokens end; their work stays."""
    _set_active(email, active=False)
    click.echo(f"{email} can no longer sign in.")


@user.command()
@click.argument("email")
def activate(email: str) -> None:
    """Let EMAIL sign in again after being deactivated."""
    _set_active(email, active=True)
    click.echo(f"{email} can sign in again.")


@user.command()
@click.argument("email")
def link(email: str) -> None:
    """Print a sign-in link for EMAIL. It works once, within the next 15 minutes."""
    from core.people import accounts, membership
    from hematovision import local
    from hematovision.operator import operator

    settings = Settings.from_env()
    with _database().writing() as session:
        person = accounts.find_person(session, email)
        path = membership.make_link(session, operator(), person, local.LINK_LIFETIME)
    click.echo(f"{local.address(settings)}{path}")


@user.command()
@click.argument("email")
@click.option("--name", default="command line", show_default=True, help="What the token is for.")
def token(email: str, name: str) -> None:
    """Create an API token for EMAIL and print it. It can't be shown again."""
    from core.people import accounts, tokens
    from hematovision.operator import operator

    with _database().writing() as session:
        person = accounts.find_person(session, email)
        secret = tokens.make_api_token(session, operator(), person, name)
    click.echo(secret)


def _database() -> Database:
    from core.db import Database

    return Database(Settings.from_env().database)


def _id_of(database: Database, email: str) -> int:
    from core.people import accounts

    with database.reading() as session:
        return accounts.find_person(session, email).id


def _set_active(email: str, *, active: bool) -> None:
    from core.people import membership
    from hematovision.operator import operator

    database = _database()
    with database.writing() as session:
        membership.set_active(session, operator(), _id_of(database, email), active=active)


def _say_first_password(password: str) -> None:
    from core.people.membership import FIRST_PASSWORD_DAYS

    click.echo(f"First password: {password}")
    click.echo(
        f"It must be changed at the first sign-in, and stops working after {FIRST_PASSWORD_DAYS} "
        "days. It can't be shown again."
    )
