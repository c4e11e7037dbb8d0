"""Colours are those of the file's profile; a profile that can't be used changes nothing."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ml.decoding import Pixels, decode

CASES = Path(__file__).parents[2] / "cases" / "images"
# Red, green and blue in XYZ under D50 (ICC.1, and Adobe RGB (1998), annex).
SRGB = np.array(
    [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.7141]]
)
ADOBE = np.array(
    [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]]
)
GAMMA = 2.2
RELATIVE = ImageCms.Intent.RELATIVE_COLORIMETRIC
COLOURS = np.random.default_rng(0).integers(60, 200, (16, 20, 3), dtype=np.uint8)


def profile(primaries: NDArray[Any] | None, gamma: float = GAMMA) -> bytes:
    """A profile of RGB with these primaries, or of grey, and one gamma."""

    def xyz(values: Any) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(
            struct.pack(">i", round(value * 65536)) for value in values
        )

    curve = b"curv" + struct.pack(">IIHH", 0, 1, round(gamma * 256), 0)
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {b"desc": text, b"wtpt": xyz((0.9642, 1.0, 0.8249)), b"cprt": b"text\0\0\0\0none"}
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        for letter, values in zip("rgb", primaries, strict=True):
            tags[f"{letter}XYZ".encode()] = xyz(values)
            tags[f"{letter}TRC".encode()] = curve
    start, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    space = b"GRAY" if primaries is None else b"RGB "
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"lcms", 0x02100000, b"mntr", space, b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def as_srgb(colours: Pixels) -> NDArray[Any]:
    """Numbers of Adobe RGB in sRGB, by its formula."""
    linear = (colours / 255.0) ** (563 / 256) @ ADOBE @ np.linalg.inv(SRGB)
    linear = np.clip(linear, 0, 1)
    bright = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.asarray(255 * np.where(linear <= 0.0031308, 12.92 * linear, bright))


def saved(image: Image.Image, kind: str, icc: bytes, **options: Any) -> bytes:
    """The picture in a file that carries a profile."""
    out = io.BytesIO()
    image.save(out, kind, icc_profile=icc, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
    ],
)
def test_a_wide_gamut_becomes_srgb(kind: str, options: dict[str, Any]) -> None:
    colours = COLOURS if kind != "JPEG" else np.full_like(COLOURS, (180, 90, 140))
    data = saved(Image.fromarray(colours), kind, profile(ADOBE), **options)
    assert np.abs(decode(data) - as_srgb(colours)).max() <= 3
    assert np.abs(decode(data).astype(int) - colours).max() > 5


def test_16_bits_have_a_profile_too() -> None:
    file = io.BytesIO()
    deep = COLOURS.astype(np.uint16) * 257
    deep[0, 0] = 65535
    tifffile.imwrite(file, deep, photometric="rgb", iccprofile=profile(ADOBE))
    assert np.abs(decode(file.getvalue()) - as_srgb(COLOURS))[1:].max() <= 3


def test_an_opacity_and_a_profile_go_together() -> None:
    image = Image.fromarray(COLOURS).convert("RGBA")
    image.putalpha(128)
    expected = as_srgb(COLOURS) * 128 / 255 + 127
    assert np.abs(decode(saved(image, "PNG", profile(ADOBE))) - expected).max() <= 3


def test_srgb_by_any_name_leaves_the_pixels_as_they_are() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(saved(Image.fromarray(COLOURS), "PNG", icc)), COLOURS)


def test_a_grey_profile_is_followed() -> None:
    image = Image.new("L", (20, 20), 128)
    linear = (128 / 255) ** (461 / 256)
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(decode(saved(image, "PNG", profile(None, 1.8))) - expected).max() <= 2


def cell() -> Pixels:
    """The cell that the cases show."""
    return np.asarray(tifffile.imread(CASES / "tif-thumbpage.tif", key=0), np.uint8)


def test_inks_with_a_profile_show_the_cell_as_it_was() -> None:
    """Newsprint can't show all its colours; the formula without a profile makes them blue."""
    difference = np.abs(decode((CASES / "jpg-icc-cmyk.jpg").read_bytes()).astype(int) - cell())
    assert difference.mean() < 6


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_of_a_profile_come_back_as_they_were_sent(kind: str) -> None:
    with Image.open(CASES / "jpg-icc-cmyk.jpg") as file:
        icc = file.info["icc_profile"]
    inks = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    there = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), inks, "RGB", "CMYK", RELATIVE)
    pale = Image.new("RGB", (32, 32), (200, 170, 190))
    printed = ImageCms.applyTransform(pale, there)
    assert printed is not None
    pixels = decode(saved(printed, kind, icc)).astype(int)
    assert np.abs(pixels - np.asarray(pale)).max() <= 8


def test_inks_that_are_not_adobe_s_are_not_inverted() -> None:
    out = io.BytesIO()
    Image.new("CMYK", (32, 32), (0, 0, 0, 0)).save(out, "JPEG")
    data = out.getvalue()
    start = data.index(b"\xff\xee")
    size = struct.unpack(">H", data[start + 2 : start + 4])[0]
    bare = data[:start] + data[start + 2 + size :]
    assert decode(data).min() > 245
    assert decode(bare).max() < 10


@pytest.mark.parametrize(
    "icc",
    [
        b"no profile",
        profile(ADOBE)[:200],
        profile(None),
        profile(ADOBE).replace(b"acsp", b"xxxx"),
        b"\0" * 3000,
    ],
)
def test_a_profile_that_cannot_be_used_changes_nothing(icc: bytes) -> None:
    assert np.array_equal(decode(saved(Image.fromarray(COLOURS), "PNG", icc)), COLOURS)
