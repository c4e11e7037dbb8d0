"""Signatures of bundles: whose they are, and what is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ml.bundle import Bundle, BundleFormat, default_bundle_path
from ml.bundle.folder import METADATA, SIGNATURE
from ml.bundle.signing import (
    KeyUnusable,
    SignatureInvalid,
    make_key,
    require_trusted,
    sign,
    signer,
    trusted_keys,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A copy of the shipped bundle."""
    shutil.copytree(default_bundle_path(), tmp_path / "bundle")
    return Bundle.load(tmp_path / "bundle")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key."""
    make_key(tmp_path / "key")
    return tmp_path / "key"


def test_a_signature_says_whose_it_is_and_changes_nothing_else(bundle: Bundle, key: Path) -> None:
    assert signer(bundle) == ""
    public = sign(bundle, key)
    assert signer(bundle) == public
    assert Bundle.load(bundle.path).digest == bundle.digest
    assert require_trusted(bundle, {public}) == public
    assert require_trusted(bundle, ()) == public


def test_a_signature_of_another_bundle_is_none_of_this_one(
    bundle: Bundle, key: Path, tmp_path: Path
) -> None:
    sign(bundle, key)
    shutil.copytree(bundle.path, tmp_path / "other")
    document = json.loads((bundle.path / METADATA).read_text()) | {"version": "other"}
    (tmp_path / "other" / METADATA).write_text(json.dumps(document))
    with pytest.raises(SignatureInvalid, match="does not match this bundle"):
        signer(Bundle.load(tmp_path / "other"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"key": 1, "signature": 2}',
        json.dumps({"key": "0" * 64, "signature": "0" * 128}),
        json.dumps({"key": "f" * 64, "signature": "f" * 128}),
        json.dumps({"key": "0" * 64, "signature": "é" * 128}),
    ],
)
def test_what_is_no_signature_is_refused_and_not_taken_for_unsigned(
    bundle: Bundle, content: str
) -> None:
    (bundle.path / SIGNATURE).write_text(content)
    with pytest.raises(SignatureInvalid):
        signer(bundle)


def test_a_link_in_place_of_a_signature_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / SIGNATURE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleFormat, match="link"):
        signer(bundle)


def test_only_those_who_are_trusted_count(bundle: Bundle, key: Path, tmp_path: Path) -> None:
    trusted = {make_key(tmp_path / "trusted")}
    with pytest.raises(SignatureInvalid, match="is not signed"):
        require_trusted(bundle, trusted)
    sign(bundle, key)
    with pytest.raises(SignatureInvalid, match="TRUSTED_MODEL_KEYS lacks"):
        require_trusted(bundle, trusted)
    sign(bundle, tmp_path / "trusted")
    require_trusted(bundle, trusted)


def test_what_is_no_key_is_said(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "not-a-key").write_text("x")
    with pytest.raises(KeyUnusable, match="model key"):
        sign(bundle, tmp_path / "not-a-key")
    assert trusted_keys(f" {'A' * 64} ,") == {"a" * 64}
    assert trusted_keys("") == frozenset()
    with pytest.raises(KeyUnusable, match="64 hexadecimal"):
        trusted_keys("abc")
