"""A bundle: the weights of a network and all that is known about it, in one verified folder.

    bundle.json           what it is: classes, input, recipe, data, scores, notice, digests
    network.weights.h5    the weights for Keras, of the folded network of `ml.network.model`
    model.onnx            the same network for ONNX Runtime, its scaling inside
    model.int8.onnx       that in 8 bits, if it answers alike: what CPUs with VNNI run
    head.npz              the last layer alone, for heat maps (see `serving.explain`)
    trust.npz             what familiar cells look like to the network (see `ml.trust`)
    references.npz        cells to compare with, and what they look like (see `serving.neighbours`)
    signature.json        a signature of the digest, if it was signed (see `ml.bundle.signing`)

Trust and references are there if the bundle was made to judge and to compare; for the network in
8 bits see `ml.training.quantization`.

A bundle is written aside and renamed, and never changed afterwards: its digest names it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lexicon.words import NOTICE
from ml.decoding import InputShape
from ml.errors import MlError
from ml.reading import Preprocessing

FORMAT = 2
METADATA = "bundle.json"
WEIGHTS = "network.weights.h5"
ONNX, INT8 = "model.onnx", "model.int8.onnx"
REQUIRED = frozenset({WEIGHTS, ONNX, "head.npz"})
OPTIONAL = frozenset({INT8, "trust.npz", "references.npz"})
# Beside the files that the digest covers: who vouches for it (see `ml.bundle.signing`).
SIGNATURE = "signature.json"
LARGEST_FILE, _LARGEST_METADATA = 512 * 2**20, 2**20


class BundleError(MlError):
    """The base of all errors about bundles."""


class BundleMissing(BundleError):
    """There is no bundle, or one of its files is gone."""


class BundleFormat(BundleError):
    """The metadata can't be read by this version of the program."""


class BundleTampered(BundleError):
    """A file differs from the one that was written."""


class BundleExists(BundleError):
    """The place for a new bundle is already taken."""


@dataclass(frozen=True)
class Architecture:
    """What is needed to build the network of the weights."""

    base: str = "MobileNetV2"
    alpha: float = 1.0
    pooled: bool = True


@dataclass(frozen=True)
class Metadata:
    """What a bundle states about itself.

    `scores` are those on the validation groups the network was chosen by; `data` holds the hash
    and the counts of what it was trained on; `trust` the numbers that `ml.trust` judges by; `int8`
    how its 8-bit network answers beside the float one; `files` maps each file's name to its
    SHA-256.
    """

    name: str
    version: str
    classes: tuple[str, ...]
    shape: InputShape
    architecture: Architecture
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    trust: Mapping[str, Any] = field(default_factory=dict)
    int8: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    intended_use: str = ""
    notice: str = NOTICE
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were verified."""

    path: Path
    metadata: Metadata
    digest: str

    @property
    def title(self) -> str:
        """Name, version and the start of the digest, as tables and reports show them."""
        return f"{self.metadata.name} {self.metadata.version} ({self.digest[:12]})"

    @property
    def weights(self) -> Path:
        """The Keras weights."""
        return self.path / WEIGHTS

    @property
    def onnx(self) -> Path:
        """The ONNX network in float."""
        return self.path / ONNX

    @property
    def int8(self) -> Path | None:
        """The ONNX network in 8 bits, if there is one."""
        return self.path / INT8 if INT8 in self.metadata.files else None

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """The bundle in the folder `path`, every file checked against its digest.

        Raises:
            BundleMissing: if the folder, its metadata or one of its files is not there.
            BundleFormat: if the metadata are of another format version, or are not understood.
            BundleTampered: if a file differs from the one that was written.
        """
        document = _read(path)
        metadata = _parse(document, path)
        for name, expected in metadata.files.items():
            _verify(path / name, expected)
        return cls(path, metadata, digest(document))


def default_bundle_path() -> Path:
    """The bundle that ships with the program."""
    return Path(__file__).parents[1] / "models" / "wbc8"


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, over the metadata as JSON with sorted keys and no spaces.

    The metadata hold the SHA-256 of every file, so the digest stands for the weights, too.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_bundle(path: Path, metadata: Metadata, fill: Callable[[Path], None]) -> Bundle:
    """Write a bundle at `path`; `fill` puts its files, `REQUIRED` and `OPTIONAL`, into a folder.

    Raises:
        BundleExists: if `path` already exists.
    """
    if path.exists():
        raise BundleExists(f"{path} already exists. A bundle is never overwritten.")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        aside.chmod(0o755)
        fill(aside)
        files = {file.name: file_digest(file) for file in sorted(aside.iterdir())}
        _write_metadata(aside, replace(metadata, files=files))
        aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Bundle.load(path)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_metadata(folder: Path, metadata: Metadata) -> None:
    document = {"format": FORMAT, **asdict(metadata)}
    (folder / METADATA).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        require_plain(path / METADATA, _LARGEST_METADATA)
        document = json.loads((path / METADATA).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleMissing(f"There is no bundle at {path}: {METADATA} is missing.") from None
    except RecursionError:
        raise BundleFormat(f"{path / METADATA} is nested too deeply to be read.") from None
    except ValueError:
        raise BundleFormat(f"{path / METADATA} is not JSON. Fetch the bundle again.") from None
    version = document.get("format") if isinstance(document, dict) else None
    if version != FORMAT:
        message = f"{path} is a bundle of format {version}; this program reads format {FORMAT}."
        raise BundleFormat(message)
    return dict(document)


def _parse(document: Mapping[str, Any], path: Path) -> Metadata:
    fields = {key: value for key, value in document.items() if key != "format"}
    try:
        fields["classes"] = tuple(fields["classes"])
        fields["shape"] = InputShape(**fields["shape"])
        fields["architecture"] = Architecture(**fields["architecture"])
        fields["preprocessing"] = Preprocessing.of(fields["preprocessing"])
        metadata = Metadata(**fields)
    except ValueError as error:
        raise BundleFormat(f"{path} can't be used: {error}. Train it again.") from None
    except (KeyError, TypeError) as error:
        raise BundleFormat(f"{path / METADATA} is incomplete: {error}.") from None
    _check_files(metadata.files, path)
    return metadata


def _check_files(files: Mapping[str, str], path: Path) -> None:
    """Check that a bundle lists known files only: a name must not point outside the folder."""
    if not set(files) >= REQUIRED or set(files) - REQUIRED - OPTIONAL:
        needed, allowed = ", ".join(sorted(REQUIRED)), ", ".join(sorted(OPTIONAL))
        message = f"{path / METADATA} must list {needed}, may list {allowed}, and nothing else."
        raise BundleFormat(message)


def require_plain(path: Path, most: int = LARGEST_FILE) -> None:
    """Accept a bundle's file only if it is a plain file: a link may point anywhere, and change.

    Raises:
        FileNotFoundError, NotADirectoryError: it is not there.
        BundleFormat: it is a link, a device or a folder, or has more than ``most`` bytes.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise BundleFormat(f"{path} is a link or a special file. Copy the file itself there.")
    if status.st_size > most:
        raise BundleFormat(f"{path} has {status.st_size:,} bytes; at most {most:,} are read.")


def _verify(path: Path, expected: str) -> None:
    try:
        require_plain(path)
    except FileNotFoundError:
        message = f"The bundle's file {path} is missing. Fetch the bundle again."
        raise BundleMissing(message) from None
    if file_digest(path) != expected:
        message = f"{path} differs from the file that was written. Fetch the bundle again."
        raise BundleTampered(message)
