"""A bundle is what was written, or an error that says what is wrong with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ml.bundle import (
    Architecture,
    Bundle,
    BundleExists,
    BundleFormat,
    BundleMissing,
    BundleTampered,
    Metadata,
    write_bundle,
)
from ml.bundle.folder import METADATA, ONNX, WEIGHTS
from ml.decoding import InputShape
from ml.reading import Preprocessing
from ml.serving.explain import HEAD
from ml.training.recipes.recipe import EIGHT_CLASSES, FOUR_CLASSES

FACTS = Metadata(
    name="test",
    version="1.2.3",
    classes=FOUR_CLASSES,
    shape=InputShape(64, 96),
    architecture=Architecture(),
    preprocessing=Preprocessing.located(1.3, 0.8, 3.2),
    scores={"validation": {"accuracy": 0.5}},
)


def fill(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"weights")
    (folder / ONNX).write_bytes(b"network")
    (folder / HEAD).write_bytes(b"head")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle", FACTS, fill)


def edit(bundle: Bundle, **changes: Any) -> None:
    """Change the metadata behind the bundle's back; a value of None removes the key."""
    path = bundle.path / METADATA
    document = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in document.items() if value}))


def test_what_was_written_is_read_back(bundle: Bundle) -> None:
    loaded = Bundle.load(bundle.path)
    assert loaded == bundle
    assert loaded.metadata.classes == FOUR_CLASSES
    assert loaded.metadata.shape == InputShape(64, 96)
    assert loaded.metadata.scores == {"validation": {"accuracy": 0.5}}
    assert loaded.weights.read_bytes() == b"weights"
    assert loaded.onnx.read_bytes() == b"network"
    assert loaded.title == f"test 1.2.3 ({loaded.digest[:12]})"


def test_the_digest_does_not_hang_on_layout_or_place(bundle: Bundle, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(bundle.path, moved)
    document = json.loads((moved / METADATA).read_text())
    (moved / METADATA).write_text(json.dumps(dict(reversed(document.items())), indent=7))
    assert Bundle.load(moved).digest == bundle.digest


def test_the_digest_changes_with_the_metadata_and_with_the_weights(
    bundle: Bundle, tmp_path: Path
) -> None:
    def other(folder: Path) -> None:
        fill(folder)
        (folder / WEIGHTS).write_bytes(b"other")

    digests = {bundle.digest, write_bundle(tmp_path / "other", FACTS, other).digest}
    edit(bundle, version="1.2.4")
    digests.add(Bundle.load(bundle.path).digest)
    assert len(digests) == 3


@pytest.mark.parametrize("name", [WEIGHTS, ONNX, HEAD])
def test_a_changed_file_is_noticed(bundle: Bundle, name: str) -> None:
    (bundle.path / name).write_bytes(b"other")
    with pytest.raises(BundleTampered, match=rf"{name} differs from the file that was written"):
        Bundle.load(bundle.path)


@pytest.mark.parametrize("name", [WEIGHTS, ONNX, HEAD])
def test_a_missing_file_is_named(bundle: Bundle, name: str) -> None:
    (bundle.path / name).unlink()
    with pytest.raises(BundleMissing, match=name):
        Bundle.load(bundle.path)


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_a_place_without_a_bundle_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleMissing, match=f"no bundle at .*{folder}"):
        Bundle.load(tmp_path / folder)


@pytest.mark.parametrize("version", [1, "2", None])
def test_another_format_version_is_refused(bundle: Bundle, version: object) -> None:
    edit(bundle, format=version)
    with pytest.raises(BundleFormat, match="this program reads format 2"):
        Bundle.load(bundle.path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\ufeff{}"])
def test_metadata_that_are_no_metadata_are_refused(bundle: Bundle, text: str) -> None:
    (bundle.path / METADATA).write_text(text, encoding="utf-8")
    with pytest.raises(BundleFormat):
        Bundle.load(bundle.path)


@pytest.mark.parametrize("change", [{"classes": None}, {"shape": {"side": 3}}, {"surprise": 1}])
def test_metadata_with_a_missing_or_an_unknown_key_are_refused(
    bundle: Bundle, change: dict[str, Any]
) -> None:
    edit(bundle, **change)
    with pytest.raises(BundleFormat, match="incomplete"):
        Bundle.load(bundle.path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decoder": 1}, "a way that this program no longer has"),
        ({"locator": 99}, "a way that this program no longer has"),
        ({"mirror": True}, "is not understood"),
    ],
)
def test_images_read_in_a_way_that_is_gone_make_a_bundle_unusable(
    bundle: Bundle, change: dict[str, Any], reason: str
) -> None:
    edit(bundle, preprocessing={**asdict(FACTS.preprocessing), **change})
    with pytest.raises(BundleFormat, match=reason):
        Bundle.load(bundle.path)


def test_what_a_bundle_may_hold_beside_is_verified_too(tmp_path: Path) -> None:
    def more(folder: Path) -> None:
        fill(folder)
        (folder / "trust.npz").write_bytes(b"trust")

    bundle = write_bundle(tmp_path / "bundle", FACTS, more)
    (bundle.path / "trust.npz").write_bytes(b"other")
    with pytest.raises(BundleTampered, match=r"trust\.npz"):
        Bundle.load(bundle.path)


def test_a_bundle_can_not_name_files_outside_its_folder(bundle: Bundle) -> None:
    files = {**bundle.metadata.files, "../../secret": "0" * 64}
    edit(bundle, files=files)
    with pytest.raises(BundleFormat, match="nothing else"):
        Bundle.load(bundle.path)


def test_a_bundle_is_never_overwritten(bundle: Bundle) -> None:
    before = (bundle.path / METADATA).read_bytes()
    with pytest.raises(BundleExists, match="never overwritten"):
        write_bundle(bundle.path, FACTS, fill)
    assert (bundle.path / METADATA).read_bytes() == before


def test_a_bundle_that_could_not_be_filled_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / WEIGHTS).write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_bundle(tmp_path / "bundle", FACTS, fail)
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_bundle_is_whole_and_says_what_it_is(shipped: Bundle) -> None:
    metadata = shipped.metadata
    assert metadata.name == metadata.recipe["name"] == "wbc8"
    assert metadata.classes == EIGHT_CLASSES
    assert "Not for diagnostic use without review by a qualified person" in metadata.notice
    assert metadata.intended_use
    assert metadata.data["sources"] == ["bccd4", "pbc8"]
    assert metadata.data["few_shot"] == ["erythroblast", "immature_granulocyte", "platelet"]
    assert metadata.preprocessing.locator
    assert metadata.trust["gate"] == "nearest"
    assert metadata.libraries["tensorflow"]
