"""Signing a benchmark's browser in."""

from __future__ import annotations

import re
from typing import Any

import click


def sign_in(browser: Any, link: str) -> None:
    """Open a sign-in link as its page does by itself; ``browser`` is Flask's client or httpx's."""
    token = re.search(r'name="csrf-token" content="([^"]+)"', browser.get(link).text)
    if token is None or browser.post(link, data={"csrf_token": token[1]}).status_code != 302:
        raise click.ClickException("The sign-in link does not sign in.")
