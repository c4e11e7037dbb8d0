"""What is taken at the door, and what is refused by name."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from core.blobs import BlobStore, LocalBlobs, MemoryBlobs, image_key
from core.errors import Refused
from core.intake import Accepted, Limits, accept
from lexicon.refusals import SENTENCES

LIMITS = Limits(max_bytes=1_000_000, max_pixels=1_000_000)


def encoded(
    kind: str, mode: str = "RGB", size: tuple[int, int] = (32, 24), **options: object
) -> bytes:
    """Return a picture in a format and mode."""
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **options)
    return out.getvalue()


def several(kind: str) -> bytes:
    """Return three different pictures in one file."""
    pages = [Image.new("RGB", (32, 24), (n * 80, 0, 0)) for n in range(3)]
    out = io.BytesIO()
    pages[0].save(out, kind, save_all=True, append_images=pages[1:])
    return out.getvalue()


def bomb(side: int) -> bytes:
    """Return a PNG of a few hundred bytes that says it has ``side`` x ``side`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def rotated() -> bytes:
    """Return a JPEG that its EXIF says is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif)


def take(data: bytes, limits: Limits = LIMITS, announced: str | None = None) -> Accepted:
    """Hand bytes in at the door of an empty store."""
    return accept(io.BytesIO(data), MemoryBlobs(), limits, announced=announced)


def refused(data: bytes, **more: str) -> str:
    """Return the code for which bytes are refused; nothing of them may be kept."""
    blobs = MemoryBlobs()
    with pytest.raises(Refused) as error:
        accept(io.BytesIO(data), blobs, LIMITS, announced=more.get("announced"))
    assert error.value.code in SENTENCES
    assert "{" not in str(error.value)
    assert not blobs.exists(image_key(hashlib.sha256(data).hexdigest()))
    return error.value.code


ACCEPTED_FILES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encoded("JPEG"),
    "PNG": lambda: encoded("PNG"),
    "BMP": lambda: encoded("BMP"),
    "TIFF": lambda: encoded("TIFF"),
    "WebP": lambda: encoded("WEBP"),
    "AVIF": lambda: encoded("AVIF"),
    "JPEG2000": lambda: encoded("JPEG2000"),
    "JPEG, CMYK": lambda: encoded("JPEG", "CMYK"),
    "JPEG, grey": lambda: encoded("JPEG", "L"),
    "JPEG, turned by EXIF": rotated,
    "PNG, 16 bits": lambda: encoded("PNG", "I;16"),
    "TIFF, 16 bits": lambda: encoded("TIFF", "I;16"),
    "PNG, palette": lambda: encoded("PNG", "P"),
    "PNG, transparent": lambda: encoded("PNG", "RGBA"),
    "PNG, 1 bit": lambda: encoded("PNG", "1"),
    "TIFF, CMYK": lambda: encoded("TIFF", "CMYK"),
    "TIFF, 1 bit": lambda: encoded("TIFF", "1"),
    "WebP, lossless": lambda: encoded("WEBP", lossless=True),
}


@pytest.mark.parametrize("name", ACCEPTED_FILES)
def test_an_image_is_taken_whatever_its_kind(name: str, tmp_path: Path) -> None:
    data = ACCEPTED_FILES[name]()
    stores: tuple[BlobStore, ...] = (LocalBlobs(tmp_path), MemoryBlobs())
    for blobs in stores:
        accepted = accept(io.BytesIO(data), blobs, LIMITS)
        digest = hashlib.sha256(data).hexdigest()
        assert accepted == Accepted(digest, len(data), name.split(",")[0], 32, 24)
        assert blobs.get(image_key(digest)) == data


def test_an_image_under_another_formats_name_is_taken_for_what_it_is() -> None:
    assert take(encoded("PNG")).format == "PNG"


def test_a_phones_picture_with_its_preview_is_one_jpeg() -> None:
    out = io.BytesIO()
    first = Image.new("RGB", (32, 24))
    first.save(out, "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])
    assert take(out.getvalue()).format == "JPEG"


def test_a_damaged_rest_is_left_to_the_worker() -> None:
    data = encoded("PNG", size=(64, 64))
    assert take(data[:-20]).width == 64


def test_real_crops_are_taken(data_folder: Path) -> None:
    crops = sorted((data_folder / "bccd4").rglob("*.jpeg"))[:5]
    assert len(crops) == 5
    for crop in crops:
        assert take(crop.read_bytes()).format == "JPEG"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"patient,class\n1,neutrophil\n", "not_an_image"),
        (b"\x89PNG\r\n\x1a\n", "not_an_image"),
        (encoded("JPEG")[:10], "not_an_image"),
        (encoded("TIFF")[:6], "not_an_image"),
        (encoded("BMP")[:20], "not_an_image"),
        (encoded("WEBP")[:20], "not_an_image"),
        (encoded("GIF"), "not_an_image"),
        (several("GIF"), "not_an_image"),
        (b"%PDF-1.7 ", "not_an_image"),
        (b"x" * 1_000_001, "too_large"),
        (encoded("PNG", size=(1_001, 1_000)), "too_many_pixels"),
        (bomb(10_000), "too_many_pixels"),
        (bomb(60_000), "too_many_pixels"),
        (encoded("PNG", size=(15, 200)), "too_small"),
        (several("WEBP"), "animated"),
        (several("PNG"), "animated"),
        (several("TIFF"), "animated"),
    ],
)
def test_what_is_not_taken_is_refused_by_name(data: bytes, code: str) -> None:
    assert refused(data) == code


def test_the_limits_themselves_are_still_allowed() -> None:
    assert take(encoded("PNG", size=(1_000, 1_000))).width == 1_000
    data = encoded("BMP")
    assert take(data, Limits(len(data), 10_000)).size == len(data)
    assert take(encoded("PNG", size=(16, 16))).height == 16


def test_a_limit_below_a_megabyte_is_still_said_truly() -> None:
    with pytest.raises(Refused, match=r"larger than 0\.5 MB"):
        take(b"x" * 600_000, Limits(2**19, 10_000))


def test_what_arrives_must_be_what_was_announced() -> None:
    data = encoded("PNG")
    assert take(data, announced=hashlib.sha256(data).hexdigest()).format == "PNG"
    assert refused(data, announced="0" * 64) == "changed"


def test_an_endless_upload_is_cut_off_at_the_limit() -> None:
    class Endless(io.RawIOBase):
        read_so_far = 0

        def read(self, size: int = -1) -> bytes:
            self.read_so_far += size
            return b"x" * size

    stream = Endless()
    with pytest.raises(Refused, match="larger than"):
        accept(stream, MemoryBlobs(), LIMITS)  # type: ignore[arg-type]
    assert stream.read_so_far < 2 * LIMITS.max_bytes
