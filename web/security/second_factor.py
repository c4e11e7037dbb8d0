"""The second factor: codes from an app on a telephone (TOTP, RFC 6238), and recovery codes.

The shared secret is stored encrypted, with a key derived from the secret key in the settings: codes
can't be made from a copy of the database alone.
"""

from __future__ import annotations

import base64
import re
import time

import pyotp
import segno
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from core.errors import Conflict
from core.people import accounts, passwords, tokens
from core.people.accounts import RoleName
from core.settings import TotpRule
from core.tables import RecoveryCode, User

_ISSUER = "HematoVision"
_PERIOD_SECONDS = 30
# A telephone's clock may be a little off.
_STEPS = (-1, 0, 1)
_RECOVERY_CODES = 10


def is_required(rule: TotpRule, user: User) -> bool:
    """Say whether this person must have a second factor."""
    if rule is TotpRule.ADMINISTRATORS:
        return accounts.has_role(user, RoleName.ADMINISTRATOR)
    return rule is TotpRule.ALL


def new_secret() -> str:
    """Return a new secret to share with an app."""
    return pyotp.random_base32()


def picture(secret: str, email: str) -> str:
    """Return the secret as a QR code that an app reads, as a data URI of an SVG."""
    address = pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=_ISSUER)
    uri: str = segno.make(address, error="m").svg_data_uri(scale=5, border=4, light="#fff")
    return uri


def matching_step(secret: str, code: str) -> int | None:
    """Return the time step of this code if it is current, else None."""
    digits = re.sub(r"\s", "", code)
    now = int(time.time()) // _PERIOD_SECONDS
    totp = pyotp.TOTP(secret)
    for step in (now + shift for shift in _STEPS):
        if pyotp.utils.strings_equal(digits, totp.at(step * _PERIOD_SECONDS)):
            return step
    return None


def enable(session: Session, user_id: int, secret: str, step: int, key: str) -> list[str]:
    """Store the secret, and return the recovery codes; they can be read only now."""
    values = {"totp_secret": _cipher(key).encrypt(secret.encode()).decode(), "totp_step": step}
    session.execute(update(User).where(User.id == user_id).values(values))
    return renew_recovery_codes(session, user_id)


def renew_recovery_codes(session: Session, user_id: int) -> list[str]:
    """Make new recovery codes in place of those before, and return them."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = [passwords.made_up() for _ in range(_RECOVERY_CODES)]
    session.add_all(RecoveryCode(user_id=user_id, digest=tokens.digest_of(code)) for code in codes)
    return codes


def take_code(session: Session, user: User, code: str, key: str) -> bool:
    """Say whether this is the current code; if so, it can't be used again.

    Raises:
        Conflict: the secret key is not the one under which the second factor was kept.
    """
    try:
        secret = _cipher(key).decrypt((user.totp_secret or "").encode()).decode()
    except InvalidToken as error:
        raise Conflict(
            "The second factor can't be checked, because the secret key has changed. "
            "An administrator can remove it: hematovision user remove-second-factor."
        ) from error
    step = matching_step(secret, code)
    if step is None:
        return False
    unused = or_(User.totp_step.is_(None), User.totp_step < step)
    user_id = session.scalar(
        update(User).where(User.id == user.id, unused).values(totp_step=step).returning(User.id)
    )
    return user_id is not None


def take_recovery_code(session: Session, user: User, code: str) -> bool:
    """Say whether this is one of the person's recovery codes; if so, it is used up."""
    digest = tokens.digest_of(re.sub(r"\s", "", code).lower())
    mine = delete(RecoveryCode).where(
        RecoveryCode.user_id == user.id, RecoveryCode.digest == digest
    )
    return session.scalar(mine.returning(RecoveryCode.digest)) is not None


def recovery_codes_left(session: Session, user_id: int) -> int:
    """Return how many recovery codes are left."""
    query = select(func.count()).where(RecoveryCode.user_id == user_id)
    return session.scalars(query).one()


def _cipher(key: str) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"hematovision totp").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
