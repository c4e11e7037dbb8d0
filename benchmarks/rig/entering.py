"""Signing a benchmark's browser in."""

from __future__ import annotations

import re
from typing import Any

import click

from core.db import Database
from core.people import accounts
from core.states import TokenKind


def let_in(browser: Any, database: Database, email: str) -> None:
    """Sign the person with this address in, by a new link; the browser is Flask's or httpx's."""
    with database.writing() as session:
        person = accounts.find_person(session, email)
        secret = accounts.issue_token(session, person, TokenKind.SIGN_IN, "benchmark")
    sign_in(browser, f"/sign-in/{secret}")


def sign_in(browser: Any, link: str) -> None:
    """Open a sign-in link as its page does by itself; the browser is Flask's or httpx's."""
    token = re.search(r'name="csrf-token" content="([^"]+)"', browser.get(link).text)
    if token is None or browser.post(link, data={"csrf_token": token[1]}).status_code != 302:
        raise click.ClickException("The sign-in link does not sign in.")
