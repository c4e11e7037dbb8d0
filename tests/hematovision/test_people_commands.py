"""People at the command line, also where no page is served and Flask is not installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from core import audit
from core.db import Database
from core.people import accounts, passwords, sign_ins, tokens
from core.people.sign_ins import SignInLimits
from core.settings import Settings
from core.states import TokenKind
from core.tables import User
from hematovision.cli import main

ANNA = "anna@example.org"
PASSWORD = "a long enough password"
# As in a worker's container: what only the pages need can't be imported.
_WITHOUT_FLASK = """
import sys
for name in ("flask", "flask_wtf", "flask_bootstrap", "gunicorn", "whitenoise", "pyotp", "segno"):
    sys.modules[name] = None
from hematovision.cli import main
main(sys.argv[1:])
"""


def run(*words: str, **options: str) -> Result:
    """Run a command about people."""
    return CliRunner().invoke(main, ["user", *words], **options)  # type: ignore[arg-type]


def anna(database: Database) -> User:
    """Return the person that most tests add."""
    with database.reading() as session:
        return accounts.find_person(session, ANNA)


def test_an_added_person_gets_a_first_password_that_must_be_changed(database: Database) -> None:
    result = run("add", ANNA, "--role", "laboratory")
    assert result.exit_code == 0, result.output
    [first] = re.findall(r"First password: (\S+)", result.output)
    person = anna(database)
    assert passwords.matches(person.password, first)
    assert person.first_password_until is not None
    assert "must be changed at the first sign-in" in result.output


def test_a_person_at_the_keyboard_chooses_their_own(database: Database) -> None:
    typed = run("add", ANNA, "--role", "laboratory", "--password", input=f"{PASSWORD}\n" * 2)
    assert typed.exit_code == 0, typed.output
    assert "First password" not in typed.output
    assert passwords.matches(anna(database).password, PASSWORD)
    assert anna(database).first_password_until is None


def test_a_password_from_the_environment_is_held_to_the_same_rules(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMATOVISION_PASSWORD", "1234567890")
    result = run("add", ANNA, "--role", "laboratory")
    assert result.exit_code == 1
    assert "easy to guess" in result.output
    monkeypatch.setenv("HEMATOVISION_PASSWORD", PASSWORD)
    assert run("add", ANNA, "--role", "laboratory").exit_code == 0
    assert passwords.matches(anna(database).password, PASSWORD)


def test_a_reset_ends_what_stood_for_the_person(database: Database) -> None:
    run("add", ANNA, "--role", "laboratory")
    token = run("token", ANNA).output.strip()
    limits = SignInLimits.of(Settings.from_env())
    with database.writing() as session:
        cookie, _ = sign_ins.begin(session, anna(database), "test", "", "")
    result = run("reset", ANNA)
    [first] = re.findall(r"First password: (\S+)", result.output)
    assert passwords.matches(anna(database).password, first)
    with database.reading() as session:
        assert tokens.find(session, token, TokenKind.API) is None
        assert sign_ins.find(session, cookie, limits) is None


def test_roles_and_access_change_and_each_change_is_written_down(database: Database) -> None:
    run("add", ANNA, "--role", "laboratory")
    for words in (("role", ANNA, "clinician"), ("deactivate", ANNA), ("activate", ANNA)):
        assert run(*words).exit_code == 0
    assert run("list").output == f"{ANNA}\tclinician\tactive\n"
    with database.reading() as session:
        entries = audit.newest(session, 4)
    assert [entry.action for entry in entries] == [
        "person_reactivated",
        "person_deactivated",
        "role_changed",
        "person_added",
    ]
    assert all(entry.actor.startswith("command line (") for entry in entries)


def test_a_link_is_printed_as_a_browser_opens_it_and_the_one_before_ends(
    database: Database,
) -> None:
    run("add", ANNA, "--role", "laboratory")
    links = [run("link", ANNA).output.strip() for _ in range(2)]
    secrets = [link.removeprefix("http://127.0.0.1:8000/sign-in/") for link in links]
    with database.reading() as session:
        valid = [bool(tokens.find(session, secret, TokenKind.SIGN_IN)) for secret in secrets]
    assert valid == [False, True]


@pytest.mark.parametrize("command", ["link", "token"])
def test_a_deactivated_person_gets_neither_link_nor_token(database: Database, command: str) -> None:
    run("add", ANNA, "--role", "laboratory")
    run("deactivate", ANNA)
    result = run(command, ANNA)
    assert result.exit_code == 1
    assert f"{ANNA} is deactivated" in result.output


@pytest.mark.parametrize(
    "words", [("reset",), ("deactivate",), ("activate",), ("link",), ("remove-second-factor",)]
)
def test_an_unknown_person_is_named(database: Database, words: tuple[str, ...]) -> None:
    result = run(*words, "nobody@example.org")
    assert result.exit_code == 1
    assert "no person with the address nobody@example.org" in result.output


def test_people_are_managed_and_batches_planned_where_flask_is_not_installed(
    database: Database,
) -> None:
    for words in (
        ["user", "add", ANNA, "--role", "laboratory"],
        ["user", "reset", ANNA],
        ["user", "role", ANNA, "administrator"],
        ["user", "link", ANNA],
        ["user", "token", ANNA],
        ["user", "remove-second-factor", ANNA],
        ["user", "deactivate", ANNA],
        ["user", "list"],
        ["audit", "verify"],
        ["plan", "--images", "1000", "--by", "8h", "--speed", "10"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_FLASK, *words],
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ),
        )
        assert done.returncode == 0, (words, done.stderr)
        assert "Traceback" not in done.stderr
