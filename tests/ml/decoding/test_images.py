"""The decoder: every odd file is taken or refused by name."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ml.data import Sample
from ml.decoding import Pixels, UnreadableImage, decode
from ml.decoding.images import LONGEST_SIDE

CASES = Path(__file__).parents[2] / "cases" / "images"
NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
RED, BLUE = (200, 30, 40), (20, 40, 210)


def halves(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, size[0], size[1]))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as a file's bytes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sides(pixels: Pixels) -> tuple[NDArray[Any], NDArray[Any]]:
    """The mean colour of the left and of the right quarter."""
    quarter = pixels.shape[1] // 4
    return pixels[:, :quarter].mean(axis=(0, 1)), pixels[:, -quarter:].mean(axis=(0, 1))


def refused(data: bytes, **options: Any) -> UnreadableImage:
    """The refusal that decoding ends in."""
    with pytest.raises(UnreadableImage) as caught:
        decode(data, **options)
    return caught.value


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_every_format_gives_the_same_picture(kind: str) -> None:
    pixels = decode(encoded(halves(), kind))
    left, right = sides(pixels)
    assert pixels.shape == (64, 96, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(left - RED).max() < 6
    assert np.abs(right - BLUE).max() < 6


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_a_lossless_picture_is_returned_untouched(kind: str) -> None:
    original = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    assert np.array_equal(decode(encoded(Image.fromarray(original), kind)), original)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_picture_is_brought_down_and_keeps_its_proportions(kind: str) -> None:
    pixels = decode(encoded(halves(size=(3000, 1500)), kind))
    left, right = sides(pixels)
    assert pixels.shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3)
    assert np.abs(left - RED).max() < 6
    assert np.abs(right - BLUE).max() < 6


def test_an_exif_rotated_photograph_is_turned_upright() -> None:
    sideways = halves().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    left, right = sides(decode(encoded(sideways, "JPEG", exif=exif)))
    assert np.abs(left - RED).max() < 6
    assert np.abs(right - BLUE).max() < 6


def test_damaged_exif_does_not_hide_the_picture_or_is_refused_by_name() -> None:
    data = encoded(halves(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    try:
        assert decode(data).shape == (64, 96, 3)
    except UnreadableImage as error:
        assert error.code == "damaged"


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    left, right = sides(decode(encoded(halves("CMYK"), kind)))
    assert np.abs(left - RED).max() < 12
    assert np.abs(right - BLUE).max() < 12


def test_a_palette_picture_keeps_its_colours() -> None:
    left, right = sides(decode(encoded(halves("P"), "PNG")))
    assert left[0] > left[2]
    assert right[2] > right[0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(mode: str) -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0)).convert(mode)
    assert decode(encoded(clear, "PNG")).min() == 255


def test_a_transparent_palette_entry_is_white() -> None:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert decode(encoded(image, "PNG", transparency=0)).min() == 255


def test_half_transparent_black_is_grey() -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 128))
    assert abs(int(decode(encoded(image, "PNG"))[0, 0, 0]) - 127) <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 48, dtype=np.uint16)
    image = Image.fromarray(np.repeat(ramp[np.newaxis], 32, axis=0))
    row = decode(encoded(image, kind))[0, :, 0].astype(int)
    assert np.abs(row - np.linspace(0, 255, 48)).max() <= 1


def test_16_bit_colour_is_scaled() -> None:
    """Pillow can't write one, so the PNG is put together by hand."""
    row = b"\0" + struct.pack(">3H", 65535, 32896, 0) * 4
    chunks = [
        (b"IHDR", struct.pack(">2I5B", 4, 4, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * 4)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    assert decode(data)[0, 0].tolist() == [255, 128, 0]


def test_one_bit_pictures_are_black_and_white() -> None:
    image = Image.new("1", (64, 64), 1)
    assert decode(encoded(image, "PNG")).min() == 255


def test_grey_becomes_three_equal_channels() -> None:
    pixels = decode(encoded(Image.new("L", (64, 64), 77), "PNG"))
    assert (pixels == 77).all()


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_fractions_are_read_by_the_usual_range_that_holds_them(white: float) -> None:
    ramp = np.repeat(np.linspace(0, white, 48, dtype=np.float32)[np.newaxis], 32, axis=0)
    row = decode(encoded(Image.fromarray(ramp), "TIFF"))[0, :, 0].astype(int)
    assert np.abs(row - np.linspace(0, 255, 48)).max() <= 1


@pytest.mark.parametrize("value", [-0.5, 1.5, 300.0, 1e9, np.nan, np.inf])
def test_fractions_of_no_usual_range_are_refused_by_name(value: float) -> None:
    image = Image.fromarray(np.full((8, 8), value, np.float32))
    assert refused(encoded(image, "TIFF")).code == "unsupported"


def test_32_bit_grey_beyond_16_bits_is_refused_by_name() -> None:
    image = Image.fromarray(np.full((8, 8), 100_000, np.int32))
    assert refused(encoded(image, "TIFF")).code == "unsupported"


def test_an_empty_file_is_refused_by_name() -> None:
    error = refused(b"")
    assert error.code == "empty"
    assert str(error) == "The file is empty."


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7\n", b"\0" * 1000, b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused_by_name(data: bytes) -> None:
    assert refused(data).code == "not_an_image"


def test_a_gif_is_refused_whatever_its_name() -> None:
    assert refused(encoded(halves(), "GIF")).code == "not_an_image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_a_truncated_file_is_refused_by_name(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    assert refused(data[: len(data) // 2]).code in ("truncated", "damaged", "not_an_image")


def test_a_truncated_jpeg_is_refused_by_name(bccd4: list[Sample]) -> None:
    data = bccd4[0].path.read_bytes()
    error = refused(data[: len(data) * 2 // 3])
    assert error.code == "truncated"
    assert "ends before the image does" in str(error)


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (LONGEST_SIDE, 40)])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_plain_jpeg_has_the_pixels_that_pillow_gives_it(
    size: tuple[int, int], progressive: bool, subsampling: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    options = {"progressive": progressive, "subsampling": subsampling, "quality": 70}
    data = encoded(Image.fromarray(noise), "JPEG", **options)
    assert np.array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_jpeg_is_taken_or_refused_as_pillow_would(data: st.DataObject) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    content = bytearray(encoded(Image.fromarray(noise), "JPEG"))
    at = data.draw(st.integers(200, len(content) - 4))
    content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    assert _outcome(bytes(content)) == _outcome(bytes(content), pillow=True)


def _outcome(data: bytes, *, pillow: bool = False) -> str | bytes:
    """The pixels, or what the refusal is called; by Pillow alone, if asked."""
    with pytest.MonkeyPatch.context() as patch:
        if pillow:
            patch.setattr("ml.decoding.images._is_plain", lambda _: False)
        try:
            return decode(data).tobytes()
        except UnreadableImage as error:
            return error.code


def test_a_jpeg_that_is_held_whole_may_be_less_large() -> None:
    """What the header says is what counts; a decoder fills up what is not there."""

    def enlarged(**options: Any) -> bytes:
        data = encoded(halves(), "JPEG", **options)
        return data.replace(struct.pack(">HH", 64, 96), struct.pack(">HH", 7000, 7000))

    assert decode(enlarged()).shape == (LONGEST_SIDE, LONGEST_SIDE, 3)
    assert refused(enlarged(progressive=True)).code == "too_many_pixels"


def test_too_many_pixels_are_refused_before_they_are_read() -> None:
    error = refused(encoded(halves(), "PNG"), max_pixels=6143)
    assert error.code == "too_many_pixels"
    assert decode(encoded(halves(), "PNG"), max_pixels=6144).shape == (64, 96, 3)


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_decompression_bomb_is_refused_by_name(side: int) -> None:
    """Pillow only warns up to twice its own limit, and raises beyond it."""
    header = struct.pack(">2I5B", side, side, 1, 0, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + crc
    assert refused(data + struct.pack(">I", 4) + b"IDAT").code == "too_many_pixels"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_several_pictures_in_one_file_are_refused_by_name(kind: str) -> None:
    other = halves().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    data = encoded(halves(), kind, save_all=True, append_images=[other])
    error = refused(data)
    assert error.code == "animated"
    assert "several pictures" in str(error)


def test_a_phones_jpeg_with_a_preview_behind_it_is_taken() -> None:
    data = encoded(halves(), "MPO", save_all=True, append_images=[halves(size=(24, 16))])
    left, _ = sides(decode(data))
    assert np.abs(left - RED).max() < 6


def test_a_tiff_whose_directory_is_damaged_is_refused_by_name() -> None:
    """Its next directory lies nowhere: to a look at the header that is one more picture."""
    content = bytearray(encoded(halves(size=(24, 16)), "TIFF"))
    start = struct.unpack("<I", content[4:8])[0]
    entries = struct.unpack("<H", content[start : start + 2])[0]
    following = start + 2 + 12 * entries
    content[following : following + 4] = struct.pack("<I", len(content) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert refused(bytes(content)).code in ("animated", "damaged", "truncated")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_to_a_file_raises_anything_but_a_refusal(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "BMP", "TIFF", "WEBP"]))
    content = bytearray(encoded(halves(size=(24, 16)), kind))
    positions = st.integers(0, len(content) - 1)
    for at, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), max_size=8)):
        content[at] = value
    try:
        assert decode(bytes(content)).shape[2] == 3
    except UnreadableImage as error:
        assert str(error).endswith(".")


def shown(name: str) -> NDArray[Any]:
    """What a file of the cases is decoded to."""
    return decode((CASES / name).read_bytes()).astype(int)


def test_a_telephone_s_picture_shows_the_cell() -> None:
    assert np.abs(shown("heic.heic") - shown("tif-thumbpage.tif")).mean() < 3


@pytest.mark.parametrize(
    ("box", "value", "turned"),
    [
        (b"irot", 1, lambda pixels: np.rot90(pixels)),
        (b"irot", 2, lambda pixels: pixels[::-1, ::-1]),
        (b"irot", 3, lambda pixels: np.rot90(pixels, 3)),
        (b"imir", 0, lambda pixels: pixels[::-1]),
        (b"imir", 1, lambda pixels: pixels[:, ::-1]),
    ],
)
def test_a_telephone_s_picture_is_turned_upright(
    box: bytes, value: int, turned: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    """The box that cuts the picture is made one that turns it: its uncut rows are seen as well."""
    content = bytearray((CASES / "heic.heic").read_bytes())
    at = content.index(b"clap")
    content[at : at + 5] = box + bytes([value])
    uncut = content.copy()
    uncut[at : at + 5] = b"irot\0"
    assert np.array_equal(decode(bytes(content)), turned(decode(bytes(uncut))))


def test_a_list_of_contents_that_is_no_text_does_not_end_the_process() -> None:
    content = (CASES / "heic.heic").read_bytes()
    at = content.index(b"infe") + 12
    assert refused(content[:at] + b"E\xeaif" + content[at + 4 :]).code == "damaged"


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_newer_formats_are_read(kind: str) -> None:
    left, right = sides(decode(encoded(halves(), kind)))
    assert np.abs(left - RED).max() < 8
    assert np.abs(right - BLUE).max() < 8


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_jpeg_2000_without_loss_is_returned_untouched(mode: str) -> None:
    image = Image.fromarray(NOISE).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(decode(encoded(image, "JPEG2000")), expected)


def test_jpeg_2000_with_channels_in_another_order_is_refused_by_name() -> None:
    content = encoded(halves("RGBA"), "JPEG2000")
    assert b"cdef" in content
    start = content.index(b"cdef") + 4
    swapped = content[:start] + struct.pack(">H3H3H", 4, 0, 0, 3, 1, 0, 2) + content[start + 14 :]
    assert refused(swapped).code == "unsupported"


def test_much_text_in_a_png_is_no_bomb() -> None:
    assert shown("png-ztxt-1.2MB.png").shape == (64, 64, 3)


def test_a_png_without_its_last_chunk_is_read() -> None:
    content = encoded(Image.fromarray(NOISE), "PNG")
    assert np.array_equal(decode(content[:-12]), NOISE)
    assert np.array_equal(decode(content[:-3]), NOISE)
    assert refused(content[:-40]).code == "truncated"


JPEGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "progressive": {"progressive": True},
    "grey": {"mode": "L"},
    "inks": {"mode": "CMYK"},
    "large": {"size": (1400, 900)},
    "large and progressive": {"size": (1400, 900), "progressive": True},
    "turned": {"exif": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"},
}


def jpeg(name: str) -> bytes:
    """One of the JPEGs, of a picture whose every part costs bytes."""
    options = dict(JPEGS[name])
    width, height = options.pop("size", (90, 60))
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise).convert(options.pop("mode", "RGB")), "JPEG", **options)


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_that_lacks_only_its_end_is_read(name: str) -> None:
    content = jpeg(name)
    assert content.endswith(b"\xff\xd9")
    for ending in (
        content[:-2],
        content[:-1],
        content + b"\0" * 40,
        content + b"junk \xff\xd8\xff",
    ):
        assert np.array_equal(decode(ending), decode(content))


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_that_lacks_more_is_refused_by_name(name: str) -> None:
    content = jpeg(name)
    for share in (0.5, 0.8, 0.97):
        assert refused(content[: int(len(content) * share)]).code == "truncated"


def test_a_progressive_jpeg_that_was_cut_between_two_scans_is_refused_by_name() -> None:
    """Each scan makes the picture finer; without the last ones it is there, only coarser."""
    content = jpeg("progressive")
    scans = [start for start in range(len(content)) if content[start : start + 2] == b"\xff\xda"]
    assert len(scans) > 3
    table = content.rindex(b"\xff\xc4", 0, scans[-1])
    for start in (scans[-1], table, scans[-2]):
        assert refused(content[:start]).code == "truncated"


def test_a_jpeg_without_loss_is_returned_untouched() -> None:
    assert np.array_equal(decode(bytes(imagecodecs.jpeg_encode(NOISE, lossless=True))), NOISE)


def test_a_jpeg_of_12_bits_is_scaled() -> None:
    ramp = np.repeat(np.linspace(0, 4095, 48).astype(np.uint16)[np.newaxis], 32, axis=0)
    row = decode(bytes(imagecodecs.jpeg_encode(ramp, bitspersample=12, level=98)))[0, :, 0]
    assert np.abs(row - np.linspace(0, 255, 48)).max() <= 2


def test_16_bit_grey_with_an_opacity_is_on_white() -> None:
    samples = np.full((8, 8, 2), (30_000, 32_768), np.uint16)
    samples[0, 0, 0] = 65_535
    pixel = decode(bytes(imagecodecs.png_encode(samples)))[4, 4]
    assert np.abs(pixel.astype(int) - 186).max() <= 1


def test_a_fourth_byte_that_nobody_uses_does_not_hide_a_bmp() -> None:
    """Its masks say that there is an opacity, which is zero everywhere."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, 20, 20, 1, 32, 3, 1600, 0, 0, 0, 0) + masks
    head = head.ljust(108, b"\0")
    pixels = bytes([140, 90, 180, 0]) * 400
    data = b"BM" + struct.pack("<IHHI", 14 + 108 + 1600, 0, 0, 14 + 108) + head + pixels
    assert decode(data)[10, 10].tolist() == [180, 90, 140]


def test_a_refusal_says_which_formats_are_read() -> None:
    assert str(refused(b"GIF89a")) == (
        "This is not an image that can be read here. "
        "Send JPEG, PNG, BMP, TIFF, WebP, HEIC, AVIF or JPEG2000."
    )
