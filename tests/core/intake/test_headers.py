"""What the door reads of a file, and how little of one that means harm."""

from __future__ import annotations

import io
import struct
import time
from pathlib import Path
from typing import Literal

import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.intake.headers import Header, header_of

CASES = Path(__file__).parents[2] / "cases" / "images"
SIZE = (50, 40)


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """A plain picture in one format."""
    out = io.BytesIO()
    Image.new(mode, SIZE).save(out, kind, **options)
    return out.getvalue()


def seen(data: bytes) -> Header | None:
    """What the door sees of these bytes."""
    return header_of(io.BytesIO(data))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("JPEG", "JPEG"),
        ("MPO", "JPEG"),
        ("PNG", "PNG"),
        ("BMP", "BMP"),
        ("TIFF", "TIFF"),
        ("WEBP", "WebP"),
        ("AVIF", "AVIF"),
        ("JPEG2000", "JPEG2000"),
    ],
)
def test_each_format_says_its_size(kind: str, name: str) -> None:
    assert seen(encoded(kind)) == Header(name, *SIZE)


@pytest.mark.parametrize(
    "data",
    [
        encoded("JPEG", progressive=True),
        encoded("JPEG", exif=b"Exif\0\0" + b"\xff\xc0" * 20_000),
        encoded("WEBP", lossless=True),
        encoded("WEBP", "RGBA"),
        encoded("TIFF", big_tiff=True),
        encoded("JPEG2000", no_jp2=True),
        encoded("PNG", "I;16"),
    ],
)
def test_other_ways_of_writing_it_are_read_too(data: bytes) -> None:
    header = seen(data)
    assert header and (header.width, header.height, header.several) == (*SIZE, False)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_any_order_and_size_is_read(
    order: Literal["<", ">"], big: bool, tmp_path: Path
) -> None:
    file = tmp_path / "a.tif"
    picture = tifffile.imread(CASES / "tif-thumbpage.tif", key=0)
    tifffile.imwrite(file, picture, byteorder=order, bigtiff=big, photometric="rgb")
    assert seen(file.read_bytes()) == Header("TIFF", 324, 363)


@pytest.mark.parametrize("case", sorted(CASES.iterdir()))
def test_files_that_were_refused_at_the_door_pass_it(case: Path) -> None:
    header = seen(case.read_bytes())
    # The HEIC has a row that is cut off when it is shown.
    expected = {".png": (64, 64), ".heic": (324, 364)}.get(case.suffix, (324, 363))
    assert header and (header.width, header.height, header.several) == (*expected, False)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_several_pictures_are_seen(kind: str) -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", SIZE, (shade, 0, 0)) for shade in (0, 200)]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    header = seen(out.getvalue())
    assert header and header.several


def chain(pages: int, *, loop: bool = False, reduced: bool = True) -> bytes:
    """A TIFF of pages without pictures, the last of which may lead to the first again."""
    tags = [(254, 4, 1, int(reduced)), (256, 4, 1, 50), (257, 4, 1, 40)]
    entries = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    starts = [8 + page * (len(entries) + 4) for page in range(pages)]
    followings = [*starts[1:], 8 * loop]
    parts = [entries + struct.pack("<I", following) for following in followings]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(parts)


def test_a_chain_of_pages_is_not_walked_to_its_end() -> None:
    began = time.process_time()
    for reduced in (False, True):
        header = seen(chain(200_000, reduced=reduced))
        assert header and header.several
    assert time.process_time() - began < 5


def test_a_chain_that_leads_back_to_itself_ends() -> None:
    assert seen(chain(1, loop=True, reduced=False)) == Header("TIFF", 50, 40)


@pytest.mark.parametrize(
    "data",
    [
        b"II*\0" + struct.pack("<IH", 8, 65535),
        b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**63),
        b"II+\0" + struct.pack("<HHQ", 8, 0, 2**64 - 1),
        b"MM\0*" + b"\xff" * 60,
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 60,
        b"\xff\xd8\xff" + b"\xe1\0\2\xff" * 20_000,
        b"\0\0\0\x1cftypheic" + b"\0" * 20 + b"\0\0\0\1meta" + b"\xff" * 8,
        b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0jp2h" * 10_000,
        b"RIFF\xff\xff\xff\xffWEBPVP8X" + b"\xff" * 60,
        b"BM" + b"\0" * 12,
    ],
)
def test_a_header_that_means_harm_is_no_image_or_has_no_size(data: bytes) -> None:
    header = seen(data)
    assert header is None or not header.width or header.width * header.height > 10**8


@given(
    st.sampled_from(["JPEG", "PNG", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000"]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    st.integers(0, 3000),
)
def test_no_damage_raises_anything(kind: str, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(encoded(kind)[: length + 1])
    for offset, value in changes:
        data[offset % len(data)] = value
    header = seen(bytes(data))
    assert header is None or header.width >= 0
