"""Signatures of bundles: Ed25519 (RFC 8032) over the digest, to say who vouches for them.

The digest covers every file, so one signature covers the whole bundle. It lies beside them as
`signature.json`, and may be made, or replaced, at any time after the bundle was written.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ml.bundle.folder import SIGNATURE, Bundle, BundleError, require_plain
from ml.errors import MlError

_KEY, _SIGNATURE = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")
_LARGEST = 4096


class KeyUnusable(MlError):
    """A file is not a private key, or a text is not a public key."""


class SignatureInvalid(BundleError):
    """The signature is damaged or false, or was not made by anybody trusted here."""


def make_key(path: Path) -> str:
    """Write a new private key, readable by its owner alone; return its public key, 64 hex digits.

    Raises:
        KeyUnusable: ``path`` already exists.
    """
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise KeyUnusable(f"{path} already exists. A key is never overwritten.") from None
    with os.fdopen(handle, "wb") as file:
        file.write(text)
    return _public(key)


def sign(bundle: Bundle, key: Path) -> str:
    """Write a bundle's signature into its folder; return the public key it can be checked by.

    Raises:
        KeyUnusable: the file is no private key that `make_key` writes.
    """
    private = _read_key(key)
    document = {"key": _public(private), "signature": private.sign(_message(bundle)).hex()}
    aside = bundle.path / f".{SIGNATURE}"
    aside.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    aside.replace(bundle.path / SIGNATURE)
    return document["key"]


def signer(bundle: Bundle) -> str:
    """Return the public key by which a bundle is signed, "" if it is not signed.

    Raises:
        SignatureInvalid: there is a signature, and it is not one of this bundle.
    """
    path = bundle.path / SIGNATURE
    try:
        require_plain(path, _LARGEST)
        document = json.loads(path.read_text(encoding="utf-8"))
        key, signature = document["key"], document["signature"]
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SignatureInvalid(f"{path} can't be read. Sign the bundle again.") from None
    if not (isinstance(signature, str) and _SIGNATURE.fullmatch(signature) and is_key(key)):
        raise SignatureInvalid(f"{path} holds no signature. Sign the bundle again.")
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(bytes.fromhex(signature), _message(bundle))
    except (InvalidSignature, ValueError):
        raise SignatureInvalid(
            f"The signature of {bundle.title} does not match this bundle. Sign it again."
        ) from None
    return str(key)


def require_trusted(bundle: Bundle, trusted: Collection[str]) -> str:
    """Return the signer as `signer` does; where some are trusted, it must be one of them.

    Raises:
        SignatureInvalid: it is not one of them, or the signature is false.
    """
    key = signer(bundle)
    if trusted and not key:
        raise SignatureInvalid(
            f"{bundle.title} is not signed. Sign it with one of HEMATOVISION_TRUSTED_MODEL_KEYS."
        )
    if trusted and key not in trusted:
        raise SignatureInvalid(
            f"{bundle.title} is signed by {key[:12]}, which HEMATOVISION_TRUSTED_MODEL_KEYS lacks."
        )
    return key


def trusted_keys(text: str) -> frozenset[str]:
    """Return the public keys of a setting, with commas between them.

    Raises:
        KeyUnusable: one of them is no public key.
    """
    keys = frozenset(word.strip().lower() for word in text.split(",")) - {""}
    for key in keys:
        if not is_key(key):
            raise KeyUnusable(
                "HEMATOVISION_TRUSTED_MODEL_KEYS: a public key has 64 hexadecimal digits, as "
                "`hematovision model key` prints it."
            )
    return keys


def is_key(value: object) -> bool:
    """Return whether this text has the form of a public key."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} is no key for bundles. Make one with `hematovision model key`.")
    return key


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _message(bundle: Bundle) -> bytes:
    """What is signed. The first line keeps the signature from standing for anything else."""
    return b"HematoVision bundle\n" + bundle.digest.encode()
