"""What passes for a password, and how it is kept."""

from __future__ import annotations

import re

import pytest

from core.errors import BadInput
from core.people import passwords


@pytest.mark.parametrize(
    "password",
    [
        "1234567890",
        "0987654321",
        "password123",
        "qwertyuiop",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "abcdefghijklm",
        "P@ssw0rd1234",
        "hematovision",
        "HematoVision2026",
        "laboratory1",
        "anna.berg@example.org",
        "annaberg2026",
        "iloveyou1234",
        "12.11.1987",
        "1" * 200,
    ],
)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(BadInput, match="easy to guess"):
        passwords.check(password, "anna.berg@example.org")


@pytest.mark.parametrize(
    "password", ["a long enough password", "correct horse battery", "Zr7!kq2#Lm", "Schlüssel bund"]
)
def test_what_takes_long_to_guess_passes(password: str) -> None:
    passwords.check(password, "anna@example.org")


def test_a_password_has_a_least_and_a_greatest_length() -> None:
    with pytest.raises(BadInput, match="at least 10"):
        passwords.check("Zr7!kq2#L")
    with pytest.raises(BadInput, match="at most 200"):
        passwords.check("long passwords are fine " * 9)


def test_a_password_hashis_argon2id_and_matches_its_password_alone() -> None:
    stored = passwords.hashed("Schl\u00fcssel bund")
    assert stored.startswith("$argon2id$")
    assert not passwords.is_outdated(stored)
    assert passwords.matches(stored, "Schlu\u0308ssel bund"), "however the keyboard writes it"
    assert not passwords.matches(stored, "Schlussel bund")
    assert not passwords.matches(None, "Schlussel bund")
    assert not passwords.matches("no hash at all", "Schlussel bund")


def test_a_made_up_password_is_good_and_never_the_same() -> None:
    made = {passwords.made_up() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        assert re.fullmatch(r"[2-9a-z]{4}(-[2-9a-z]{4}){3}", password)
        passwords.check(password)
