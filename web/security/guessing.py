"""Slows down people who guess passwords, without locking out the people they guess at.

Each thing that can be guessed has a budget of failures. Beyond it, every further failure doubles
the wait before the next try, up to a limit; a day without a failure resets the count. A try is
counted before it is checked, so that many tries at once get no more than the budget. A success
gives it back.

Budgets are kept in SQL, where all web processes see them and no cache can lose them.

- The password of an account: five tries, then waits from half a minute to a quarter of an hour.
  The account counts, wherever the guesses come from. A browser in which the person has signed in
  before, and the address from which they did, have separate budgets: nobody elsewhere can use them
  up.
- Sign-ins from an address where the person has not been before: thirty, then a wait of up to ten
  seconds. That slows down somebody who tries one password on many accounts, and is bearable for
  people who share the address, behind a proxy or a router.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections.abc import Sequence
from dataclasses import dataclass

from flask import request
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.db import Database, clock, insert_if_new
from core.errors import TooManyAttempts
from core.people import sign_ins
from core.tables import Guesses, User
from lexicon.words import duration
from web.security import browsers

_FORGOTTEN_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Budget:
    """How many failures are free under this key, and how long the waits after them are.

    If ``lasting``, a success takes back only its own try, not the failures before it.
    """

    key: str
    free: int = 5
    first_seconds: float = 30.0
    longest_seconds: float = 900.0
    lasting: bool = False

    def wait(self, failures: int) -> float:
        """Return the seconds until the next try after so many failures."""
        beyond = failures - self.free
        if beyond < 0:
            return 0.0
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(beyond, 30))


def of_password(session: Session, email: str, user: User | None) -> list[Budget]:
    """Return the budgets of a sign-in by password; an unknown address is treated as a known one."""
    account = hashlib.sha256(email.encode()).hexdigest()[:32]
    if user is not None:
        browser = browsers.known_browser(user.id)
        if browser is not None:
            return [Budget(f"password:{account}:browser:{browser}")]
        if sign_ins.was_at(session, user.id, request.remote_addr or ""):
            return [Budget(f"password:{account}:at:{network()}")]
    return [Budget(f"password:{account}"), of_address("password")]


def of_person(what: str, user: User) -> list[Budget]:
    """Return the budget for a question that only a known person is asked."""
    return [Budget(f"{what}:{user.id}")]


def of_address(what: str) -> Budget:
    """Return the budget of this request's address."""
    return Budget(f"{what}:address:{network()}", 30, 1.0, 10.0, lasting=True)


def network() -> str:
    """Return this request's address; for IPv6 the half that a household or laboratory shares."""
    sender = request.remote_addr or ""
    try:
        address = ipaddress.ip_address(sender)
    except ValueError:
        return sender
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def spend(database: Database, budgets: Sequence[Budget]) -> None:
    """Count a try against all these budgets.

    Raises:
        TooManyAttempts: one of them is used up for now; nothing is counted then.
    """
    # Checked first without a writing transaction: a flood of tries must not hold up the work.
    with database.reading() as session:
        _require_open(session, [budget.key for budget in budgets])
    with database.writing() as session:
        # Always in the same order, so that two tries that share keys can't wait for each other.
        keys = sorted(budget.key for budget in budgets)
        rows: dict[str, Guesses] = {}
        # Between these two statements an old row may be cleared away.
        while len(rows) < len(keys):
            session.execute(insert_if_new(session, Guesses), [_unused(key) for key in keys])
            rows = _locked(session, keys)
        now = _require_open(session, keys)
        for budget in budgets:
            row = rows[budget.key]
            old = now - row.last_at > _FORGOTTEN_SECONDS
            row.failures = 1 if old else row.failures + 1
            wait = budget.wait(row.failures)
            row.last_at, row.blocked_until = now, now + wait if wait else 0.0


def give_back(session: Session, budgets: Sequence[Budget]) -> None:
    """Give back what a successful try has cost."""
    rows = _locked(session, sorted(budget.key for budget in budgets))
    for budget in budgets:
        row = rows.get(budget.key)
        if row is not None and budget.lasting:
            row.failures = max(0, row.failures - 1)
        elif row is not None:
            row.failures, row.blocked_until = 0, 0.0
    # Locked rows are skipped: whoever holds them might be waiting for us.
    old = select(Guesses.key).where(Guesses.last_at < clock() - _FORGOTTEN_SECONDS)
    keys = old.with_for_update(skip_locked=True)
    session.execute(delete(Guesses).where(Guesses.key.in_(keys)))


def _unused(key: str) -> dict[str, object]:
    return {"key": key, "failures": 0, "blocked_until": 0.0, "last_at": 0.0}


def _locked(session: Session, keys: Sequence[str]) -> dict[str, Guesses]:
    query = select(Guesses).where(Guesses.key.in_(keys)).order_by(Guesses.key).with_for_update()
    return {row.key: row for row in session.scalars(query)}


def _require_open(session: Session, keys: Sequence[str]) -> float:
    """Return the time by the database's clock, or raise `TooManyAttempts`."""
    now: float = session.scalars(select(clock())).one()
    blocked = select(Guesses.blocked_until).where(Guesses.key.in_(keys))
    seconds = math.ceil(max((until - now for until in session.scalars(blocked)), default=0.0))
    if seconds > 0:
        wait = duration(seconds)
        raise TooManyAttempts(seconds, f"Too many attempts. Wait {wait}, then try again.")
    return now
