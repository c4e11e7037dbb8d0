"""Passwords: which are good enough, how they are kept, and first passwords, to be changed."""

from __future__ import annotations

import re
import secrets
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from core.errors import BadInput

SHORTEST = 10
_LONGEST = 200
# On a scale of 0 to 4; 3 means some hundred million guesses by somebody who knows our habits.
_STRONG = 3
# Judging longer ones can take seconds, if a password was made to take long.
_JUDGED = 24
_OUR_WORDS = ("hematovision", "hemato", "vision", "laboratory", "haematology", "hematology")
# No vowels, which would make words, and no characters that are easily confused.
_SIGNS = "23456789bcdfghjkmnpqrstvwxz"
_hasher = PasswordHasher()
# One hash takes 64 MiB and all cores. Guessers must not cause many at the same time.
_one_at_a_time = threading.Lock()


def check(password: str, *about: str) -> None:
    """Raise `BadInput` for a password that is too short, absurdly long, or easy to guess.

    ``about`` is what a guesser would try for this person, such as their address.
    """
    normal = _normal(password)
    if len(normal) < SHORTEST:
        raise BadInput(f"A password needs at least {SHORTEST} characters.")
    if len(password) > _LONGEST:
        raise BadInput(f"A password may have at most {_LONGEST} characters.")
    # Loaded only when needed: its lists of common passwords take 14 MB.
    from zxcvbn import zxcvbn

    words = [word for text in about for word in _words(text) if len(word) > 2]
    judged = zxcvbn(normal[:_JUDGED], user_inputs=[*_OUR_WORDS, *words])
    if judged["score"] < _STRONG:
        raise BadInput(_advice(judged["feedback"]["warning"]))


def _words(text: str) -> list[str]:
    """Return what a guesser would derive from an address: itself, its name, and their parts."""
    name = text.partition("@")[0]
    return [text, name, re.sub(r"\W", "", name), *re.split(r"\W+", text)]


def _advice(warning: str) -> str:
    why = f" {warning.rstrip('.')}." if warning else ""
    return f"This password is easy to guess.{why} Use several words that do not belong together."


def hashed(password: str) -> str:
    """Return the argon2id hash under which a password is kept."""
    with _one_at_a_time:
        return _hasher.hash(_normal(password))


def matches(password_hash: str | None, password: str) -> bool:
    """Return whether this is the password. It takes as long if there is none to compare with."""
    if password_hash is None:
        hashed(password)
        return False
    try:
        with _one_at_a_time:
            return _hasher.verify(password_hash, _normal(password))
    except (VerifyMismatchError, InvalidHashError):
        return False


def is_outdated(password_hash: str) -> bool:
    """Return whether a hash was made at another cost than hashes made now."""
    return _hasher.check_needs_rehash(password_hash)


def made_up() -> str:
    """Return a secret that can be read out and typed: four groups of four characters, 76 bits."""
    groups = ("".join(secrets.choice(_SIGNS) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


def _normal(password: str) -> str:
    """Normalise letters that keyboards write in different ways, so that all count as equal."""
    return unicodedata.normalize("NFKD", password)
