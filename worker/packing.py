"""Packs a bundle into one file of the blob store, and unpacks it without trusting the file.

The file is a zip without compression, its entries in order and without times: the same bundle gives
the same bytes. An unpacked bundle is used only after `ml.bundle` has checked every file's digest.
"""

from __future__ import annotations

import errno
import shutil
import struct
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from core.blobs import BlobStore
from core.errors import BlobMissing, HematoVisionError
from core.registry import bundle_key
from ml.bundle import Bundle, BundleError, BundleFormat
from ml.bundle.folder import METADATA, SIGNATURE

LARGEST_BYTES = 512 * 2**20
_MOST_FILES = 10_000
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_CHUNK = 2**20
# System errors for positions or names that only a damaged zip contains.
_OF_DAMAGE = {
    errno.EINVAL,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
}


class ModelUnusable(HematoVisionError):
    """A model's bundle is missing or not as it should be; trying again won't help."""


def keep(blobs: BlobStore, bundle: Bundle) -> None:
    """Put a bundle into the store, unless it is there.

    Raises:
        ModelUnusable: it is too large to be handed to workers.
    """
    key = bundle_key(bundle.digest)
    if blobs.exists(key):
        return
    with blobs.stage() as staging:
        pack(bundle, staging.file)
        staging.keep(key)


def pack(bundle: Bundle, file: BinaryIO) -> None:
    """Write a bundle's files as one zip. Raises `ModelUnusable` if there are too many of them."""
    names = sorted(_names(bundle))
    size = sum((bundle.path / name).stat().st_size for name in names)
    _require_measure(len(names), size)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.create_system, entry.external_attr = _UNIX, 0o644 << 16
            with (bundle.path / name).open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, _CHUNK)


def fetch(blobs: BlobStore, digest: str, folder: Path) -> Bundle:
    """Unpack a model's bundle from the store into ``folder``, which must not exist, and verify it.

    Raises:
        ModelUnusable: there is none, or it is not the one of this digest.
        OSError: the store or the disk does not answer.
    """
    try:
        with blobs.open(bundle_key(digest)) as file:
            unpack(file, folder)
        bundle = Bundle.load(folder)
    except BlobMissing as error:
        raise _unusable(digest, "is missing") from error
    except BundleFormat as error:
        raise _unusable(digest, "has a format that this version can't read") from error
    except (BundleError, zipfile.BadZipFile) as error:
        raise _unusable(digest, "is damaged") from error
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    if bundle.digest != digest or names != _names(bundle):
        raise _unusable(digest, "is not the one that was added")
    return bundle


def _names(bundle: Bundle) -> set[str]:
    """Return the names of a bundle's files, with its signature if it has one."""
    signed = {SIGNATURE} if (bundle.path / SIGNATURE).is_file() else set()
    return {METADATA, *bundle.metadata.files} | signed


def intact(blobs: BlobStore, digest: str) -> bool:
    """Say whether the store holds an intact bundle of this model."""
    with tempfile.TemporaryDirectory() as folder, suppress(ModelUnusable):
        fetch(blobs, digest, Path(folder) / "bundle")
        return True
    return False


def unpack(file: BinaryIO, folder: Path) -> None:
    """Write a zip's files below ``folder``.

    Raises:
        zipfile.BadZipFile: it is not a zip, is damaged, or contains what no bundle does: a name
            that points outside the folder or occurs twice, a compressed or encrypted file, too many
            or too large files.
        OSError: the store or the disk does not answer.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _require_plain(archive.infolist())
            for entry in archive.infolist():
                _extract(archive, entry, folder / entry.filename)
    except OSError as error:
        if error.errno not in _OF_DAMAGE:
            raise
        raise zipfile.BadZipFile(str(error)) from error
    except (EOFError, ValueError, RuntimeError, LookupError, struct.error) as error:
        # The errors that a damaged zip causes in the reader.
        raise zipfile.BadZipFile(str(error)) from error


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("xb") as written:
        shutil.copyfileobj(source, written, _CHUNK)


def _require_plain(entries: list[zipfile.ZipInfo]) -> None:
    """Check size and names. A stored entry is as long as it says."""
    try:
        _require_measure(len(entries), sum(entry.file_size for entry in entries))
    except ModelUnusable as error:
        raise zipfile.BadZipFile(str(error)) from error
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names) or not all(_leads_inside(name) for name in names):
        raise zipfile.BadZipFile("A name points outside the folder or occurs twice.")
    for entry in entries:
        stored = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
        if not stored or entry.compress_size != entry.file_size:
            raise zipfile.BadZipFile("A file is compressed or encrypted.")


def _leads_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    plain = "/".join(parts) == name and "\\" not in name and ":" not in name
    return plain and bool(parts) and parts[0] != "/" and ".." not in parts


def _require_measure(files: int, size: int) -> None:
    if files > _MOST_FILES or size > LARGEST_BYTES:
        raise ModelUnusable(
            f"A bundle may hold at most {_MOST_FILES:,} files and {LARGEST_BYTES // 2**20} MB; "
            f"this one holds {files:,} and {size // 2**20:,} MB."
        )


def _unusable(digest: str, fault: str) -> ModelUnusable:
    return ModelUnusable(
        f"The model {digest[:12]} can't be used: its stored bundle {fault}. Ask an administrator "
        "to add it again (`hematovision model add FOLDER`) and retry, or run the job again with "
        "the active model."
    )
