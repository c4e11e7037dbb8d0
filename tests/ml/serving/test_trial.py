"""Bundles that don't work, or that say of themselves what can't be, are refused before any use."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from ml.bundle import Bundle, BundleError, BundleFormat, default_bundle_path
from ml.bundle.folder import INT8, METADATA, ONNX
from ml.serving.explain import HEAD
from ml.serving.trial import BundleUnfit, check_metadata, try_apart, try_out

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that copies the shipped bundle with other metadata and other files.

    The digests of the files are set right: what is tested is not found by them.
    """

    def copy(files: dict[str, bytes] | None = None, **changes: Any) -> Path:
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(default_bundle_path(), folder)
        document = json.loads((folder / METADATA).read_text())
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content)
            document["files"][name] = hashlib.sha256(content).hexdigest()
        (folder / METADATA).write_text(json.dumps(document | changes))
        return folder

    return copy


def test_the_bundle_that_ships_works() -> None:
    try_apart(default_bundle_path())


@pytest.mark.parametrize("name", [ONNX, INT8, HEAD, "trust.npz"])
@pytest.mark.parametrize("content", [b"", os.urandom(5000)], ids=["empty", "random"])
def test_a_file_of_any_bytes_under_a_right_digest_is_refused(
    make: Make, name: str, content: bytes
) -> None:
    with pytest.raises(BundleError):
        try_out(Bundle.load(make({name: content})))


@pytest.mark.parametrize(
    "classes",
    [
        ["<b>"] * 8,
        [f"<b>{n}" for n in range(8)],
        ["neutrophil", "neutrophil"],
        ["one"],
        ["Neutrophil", "lymphocyte"],
        ["../up", "lymphocyte"],
        ["", "lymphocyte"],
        ["x" * 41, "lymphocyte"],
        ["neutrophil\n", "lymphocyte"],
        [1, 2],
        [f"class_{n}" for n in range(65)],
    ],
)
def test_classes_that_could_not_be_shown_are_refused(make: Make, classes: list[Any]) -> None:
    with pytest.raises(BundleUnfit):
        check_metadata(Bundle.load(make(classes=classes)).metadata)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "<script>"},
        {"name": ""},
        {"name": ["wbc8"]},
        {"version": "1\u202e0"},
        {"version": "v" * 41},
        {"shape": {"height": 4, "width": 160}},
        {"shape": {"height": 160, "width": 10**9}},
        {"shape": {"height": "160", "width": 160}},
        {"scores": {"test": {"accuracy": float("nan")}}},
        {"trust": {"levels": [{"limits": [float("inf")]}]}},
    ],
)
def test_metadata_that_can_not_be_are_refused(make: Make, changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        check_metadata(Bundle.load(make(**changes)).metadata)


def test_a_network_of_other_classes_than_it_says_is_refused(make: Make) -> None:
    with pytest.raises(BundleUnfit, match="logits"):
        try_out(Bundle.load(make(classes=["neutrophil", "lymphocyte"], trust={})))


def weights(folder: Path, change: Callable[[Any], None]) -> bytes:
    """Return the float network with its largest weights changed."""
    network = onnx.load(folder / ONNX)
    change(max(network.graph.initializer, key=lambda tensor: len(tensor.raw_data)))
    content: bytes = network.SerializeToString()
    return content


def test_a_network_that_answers_with_no_numbers_is_refused(make: Make) -> None:
    def spoil(largest: Any) -> None:
        largest.raw_data = np.full(len(largest.raw_data) // 4, np.nan, np.float32).tobytes()

    content = weights(default_bundle_path(), spoil)
    with pytest.raises(BundleUnfit, match="not finite"):
        try_out(Bundle.load(make({ONNX: content})))


def test_a_head_of_another_network_is_refused(make: Make, tmp_path: Path) -> None:
    with np.load(default_bundle_path() / HEAD) as arrays:
        np.savez(tmp_path / "head.npz", kernel=-arrays["kernel"], bias=arrays["bias"])
    with pytest.raises(BundleUnfit, match=r"head\.npz"):
        try_out(Bundle.load(make({HEAD: (tmp_path / "head.npz").read_bytes()})))


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "trust.npz"])
def test_a_network_that_reads_other_files_is_refused(make: Make, location: str) -> None:
    def lead_away(largest: Any) -> None:
        count = len(largest.raw_data)
        largest.ClearField("raw_data")
        largest.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(count))):
            largest.external_data.add(key=key, value=value)

    with pytest.raises(BundleUnfit):
        try_apart(make({ONNX: weights(default_bundle_path(), lead_away)}))


@pytest.mark.parametrize("name", [METADATA, ONNX, HEAD])
def test_a_link_in_a_bundle_is_refused_wherever_it_leads(make: Make, name: str) -> None:
    folder = make()
    (folder / name).rename(folder / "aside")
    (folder / name).symlink_to("aside")
    with pytest.raises(BundleFormat, match="link or a special file"):
        Bundle.load(folder)


def test_a_special_file_in_a_bundle_is_refused_and_never_read(make: Make) -> None:
    folder = make()
    (folder / ONNX).unlink()
    os.mkfifo(folder / ONNX)
    with pytest.raises(BundleFormat, match="link or a special file"):
        Bundle.load(folder)


def test_metadata_beyond_all_measure_are_refused(make: Make) -> None:
    folder = make()
    (folder / METADATA).write_text("[" * 900_000)
    with pytest.raises(BundleFormat, match="nested"):
        Bundle.load(folder)
    (folder / METADATA).write_text(" " * 2_000_000)
    with pytest.raises(BundleFormat, match="bytes"):
        Bundle.load(folder)


def test_what_is_wrong_is_said_from_the_process_apart(make: Make) -> None:
    with pytest.raises(BundleUnfit, match=r"failed its trial and was not added\. .*can't be run"):
        try_apart(make({ONNX: b"nothing"}))
