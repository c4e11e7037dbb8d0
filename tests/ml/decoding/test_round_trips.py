"""A known picture comes back from every format, however it lies, and wherever it breaks off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lexicon.formats import FORMATS
from ml.decoding import Pixels, UnreadableImage, decode
from ml.decoding.levels import to_eight, white_of
from ml.decoding.shrinking import LONGEST_SIDE, shrunk
from tests.ml.decoding.test_images import CASES, encoded

HEIGHT, WIDTH = 40, 56


def picture() -> Pixels:
    """A smooth field with a dark cell off its middle: no two of its eight sides are alike."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    field_ = np.stack([200 + 0.5 * x, 190 + 0.7 * y, 180 + 0.3 * (x + y)], axis=-1)
    inside = np.clip(9 - np.hypot(x - 18, y - 12), 0, 3)[..., np.newaxis] / 3
    return np.asarray((1 - inside) * field_ + inside * (100, 50, 140), np.float32).astype(np.uint8)


@dataclass(frozen=True)
class Way:
    """A way to write a picture, and how far a pixel may be from what it was: mean and most."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    mean: float = 0
    most: int = 0

    def file(self, image: Image.Image | None = None, **more: Any) -> bytes:
        return encoded(image or Image.fromarray(picture()), self.kind, **self.options, **more)


WAYS = {
    "PNG": Way("PNG"),
    "PNG without filters": Way("PNG", {"compress_level": 0}),
    "BMP": Way("BMP"),
    "TIFF": Way("TIFF"),
    "TIFF LZW": Way("TIFF", {"compression": "tiff_lzw"}),
    "TIFF deflate": Way("TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF packbits": Way("TIFF", {"compression": "packbits"}),
    "TIFF JPEG": Way("TIFF", {"compression": "jpeg", "quality": 95}, 2, 30),
    "WebP lossless": Way("WEBP", {"lossless": True}),
    "WebP": Way("WEBP", {"quality": 90}, 3, 40),
    "JPEG": Way("JPEG", {"quality": 95}, 2, 30),
    "JPEG progressive": Way("JPEG", {"quality": 95, "progressive": True}, 2, 30),
    "JPEG unsubsampled": Way("JPEG", {"quality": 100, "subsampling": 0}, 1, 6),
    "AVIF": Way("AVIF", {"quality": 90}, 3, 40),
    "JPEG2000": Way("JPEG2000"),
    "JPEG2000 lossy": Way("JPEG2000", {"irreversible": True, "quality_layers": [8]}, 3, 40),
}
LOSSLESS = [name for name, way in WAYS.items() if not way.most]


@cache
def plain(name: str) -> bytes:
    """The picture written that way."""
    return WAYS[name].file()


@pytest.mark.parametrize("name", WAYS)
def test_a_picture_comes_back_from_every_format(name: str) -> None:
    off = np.abs(decode(plain(name)).astype(int) - picture())
    assert off.mean() <= WAYS[name].mean
    assert off.max() <= WAYS[name].most


def test_every_accepted_format_is_among_these() -> None:
    """HEIC alone is not: nothing here can write it, and a telephone's file is read elsewhere."""
    written = {way.kind.upper() for way in WAYS.values()}
    assert written == {known.name.upper() for known in FORMATS} - {"HEIC"}


@pytest.mark.parametrize("name", WAYS)
def test_just_as_many_pixels_as_allowed_are_read_and_not_one_more(name: str) -> None:
    assert decode(plain(name), HEIGHT * WIDTH).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(UnreadableImage) as caught:
        decode(plain(name), HEIGHT * WIDTH - 1)
    assert caught.value.code == "too_many_pixels"


# How a picture lies by its orientation: what brings the stored pixels upright (EXIF 2.32, 4.6.4).
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored),
}


def oriented(name: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return WAYS[name].file(exif=exif)


@pytest.mark.parametrize("name", ["PNG", "TIFF", "WebP lossless", "JPEG unsubsampled", "AVIF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_picture_of_every_format_is_turned_upright(name: str, orientation: int) -> None:
    upright = UPRIGHT[orientation](picture())
    turned = decode(oriented(name, orientation))
    assert turned.shape == upright.shape
    assert np.abs(turned.astype(int) - upright).mean() <= WAYS[name].mean


@pytest.mark.parametrize("orientation", [0, 9, 4000])
@pytest.mark.parametrize("name", ["PNG", "WebP lossless", "JPEG unsubsampled"])
def test_an_orientation_that_there_is_not_turns_nothing(name: str, orientation: int) -> None:
    assert np.array_equal(decode(oriented(name, orientation)), decode(plain(name)))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_all_colours_of_a_palette_come_back(kind: str) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16), mode="P")
    image.putpalette(colours.tobytes())
    assert np.array_equal(decode(encoded(image, kind)), colours.reshape(16, 16, 3))


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 4), st.sampled_from(["PNG", "TIFF", "WEBP"]))
def test_what_is_half_transparent_lies_on_white(colour: tuple[int, ...], kind: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    shown = decode(encoded(Image.new("RGBA", (3, 2), colour), kind, **options))
    share = colour[3] / 255
    expected = [share * level + (1 - share) * 255 for level in colour[:3]]
    assert shown[1, 1].tolist() == pytest.approx(expected, abs=1.01)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=40))
def test_16_bit_grey_keeps_its_order_and_its_share_of_white(levels: list[int]) -> None:
    samples = np.array([[*levels, 65535]], np.uint16)
    shown = decode(bytes(imagecodecs.png_encode(samples)))[0, :, 1].astype(int)
    assert shown == pytest.approx(samples[0] / 257, abs=0.51)
    assert (np.diff(shown[np.argsort(samples[0], kind="stable")]) >= 0).all()


@pytest.mark.parametrize(
    ("inks", "colour"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 128), (127, 127, 127)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_each_ink_takes_its_own_light(
    kind: str, inks: tuple[int, ...], colour: tuple[int, ...]
) -> None:
    shown = decode(encoded(Image.new("CMYK", (16, 16), inks), kind))
    assert np.abs(shown.astype(int) - colour).max() <= 2


CODES = {"empty", "not_an_image", "too_many_pixels", "truncated", "damaged", "unsupported"}


def outcome(data: bytes) -> Pixels | UnreadableImage:
    """The picture or the refusal; any other exception is the test's own failure."""
    try:
        return decode(data)
    except UnreadableImage as error:
        return error


@pytest.mark.parametrize("name", [name for name in WAYS if name != "PNG without filters"])
def test_a_file_that_breaks_off_anywhere_is_refused_or_whole(name: str) -> None:
    data, whole = plain(name), decode(plain(name))
    for end in range(0, len(data) - 1, 10):
        result = outcome(data[:end])
        if isinstance(result, UnreadableImage):
            assert result.code in CODES
            assert str(result).endswith(".")
        else:
            assert result.shape == whole.shape
            assert end > len(data) / 2, "no picture is made up of less than half a file"


def test_a_telephone_s_file_that_breaks_off_anywhere_is_refused_or_whole() -> None:
    data = (CASES / "heic.heic").read_bytes()
    whole = decode(data)
    for end in range(0, len(data), max(10, len(data) // 60)):
        result = outcome(data[:end])
        assert isinstance(result, UnreadableImage) or result.shape == whole.shape
        if isinstance(result, UnreadableImage):
            assert result.code in CODES


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(WAYS)), st.data())
def test_bytes_that_were_overwritten_raise_nothing_but_a_refusal(
    name: str, data: st.DataObject
) -> None:
    damaged = bytearray(plain(name))
    place = data.draw(st.integers(0, len(damaged) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=24))
    damaged[place : place + len(noise)] = noise
    result = outcome(bytes(damaged))
    if isinstance(result, UnreadableImage):
        assert result.code in CODES | {"animated"}
    else:
        assert result.ndim == 3
        assert result.dtype == np.uint8


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2400), st.integers(1, 1800), st.integers(1, 8))
def test_a_large_picture_becomes_as_large_as_pillow_s_thumbnail(
    width: int, height: int, orientation: int
) -> None:
    stored = Image.new("RGB", (width, height), (90, 120, 30))
    pixels = shrunk(
        stored.size, lambda top, bottom: stored.crop((0, top, width, bottom)), orientation
    )
    turned = Image.new("RGB", (height, width) if orientation > 4 else (width, height))
    turned.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    assert pixels.shape == (turned.height, turned.width, 3)
    assert (pixels == (90, 120, 30)).all()


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_large_picture_made_in_strips_shows_everything_in_its_place(orientation: int) -> None:
    stored = Image.new("RGB", (2100, 1500), "white")
    stored.paste((0, 0, 0), (1500, 150, 1800, 300))
    strips: list[tuple[int, int]] = []

    def strip(top: int, bottom: int) -> Image.Image:
        strips.append((top, bottom))
        return stored.crop((0, top, stored.width, bottom))

    pixels = shrunk(stored.size, strip, orientation)
    assert len(strips) > 1
    expected = UPRIGHT[orientation](np.asarray(stored.resize((640, 457))))
    assert pixels.shape == expected.shape
    for shown, wanted in zip(np.nonzero(pixels[..., 0] < 128), np.nonzero(expected[..., 0] < 128),
                             strict=True):  # fmt: skip
        assert (shown.min(), shown.max()) == pytest.approx((wanted.min(), wanted.max()), abs=1)


EDGES = st.sampled_from([edge for bits in (8, 10, 12, 14) for edge in (2**bits - 1, 2**bits)])
NUMBERS = st.lists(EDGES | st.integers(0, 65535), min_size=1, max_size=30)


@given(NUMBERS, st.integers(1, 30))
def test_white_is_the_end_of_a_usual_range_however_the_picture_is_cut(
    numbers: list[int], cut: int
) -> None:
    samples = np.array(numbers, np.uint16)
    white = white_of([samples])
    assert white in [2**bits - 1 for bits in (8, 10, 12, 14, 16)]
    assert samples.max() <= white
    assert white == 255 or samples.max() > (white + 1) / 4 - 1
    assert white_of([part for part in (samples[:cut], samples[cut:]) if len(part)]) == white


@given(NUMBERS, st.sampled_from([255.0, 1023.0, 4095.0, 16383.0, 65535.0]))
def test_eight_bits_keep_the_order_and_both_ends(numbers: list[int], white: float) -> None:
    samples: NDArray[np.uint16] = np.sort(np.array([*numbers, 0, 65535], np.uint16))
    eight = to_eight(white)(samples).astype(int)
    assert (eight[0], eight[-1]) == (0, 255)
    assert (np.diff(eight) >= 0).all()
    inside = samples <= white
    assert eight[inside] == pytest.approx(samples[inside] * (255 / white), abs=0.51)


def test_a_file_is_the_same_picture_whatever_follows_it() -> None:
    """Cameras and downloads leave bytes behind a file; no pixel may hang on them."""
    for name in LOSSLESS:
        assert np.array_equal(decode(plain(name) + bytes(32)), picture())


def test_every_decoding_gives_pixels_of_its_own() -> None:
    first, second = decode(plain("JPEG")), decode(plain("JPEG"))
    first[:] = 0
    assert second.any()
