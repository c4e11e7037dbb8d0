"""Every layout of a TIFF gives the picture that went in, or is refused by name."""

from __future__ import annotations

import io
import struct
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ml.decoding import Pixels, UnreadableImage, decode

CASES = Path(__file__).parents[2] / "cases" / "images"
# A nucleus and what is round it, in whole tiles and strips and a rest.
CELL: Pixels = tifffile.imread(CASES / "tif-thumbpage.tif", key=0)[150:190, 130:180]
GREY: Pixels = np.asarray(Image.fromarray(CELL).convert("L"))

# How the picture is packed, and what its library is told so that nothing is lost. What is a whole
# file of another kind inside has a byte order of its own.
PACKED: dict[str | None, dict[str, Any]] = {
    None: {},
    "lzw": {},
    "zlib": {},
    "packbits": {},
    "lzma": {},
    "zstd": {},
    "lerc": {"byteorder": "<"},
    "png": {"byteorder": "<"},
    "jpegxl": {"byteorder": "<", "compressionargs": {"lossless": True}},
    "jpeg2000": {"byteorder": "<", "compressionargs": {"reversible": True}},
}
LAID_OUT: dict[str, dict[str, Any]] = {
    "one strip": {"rowsperstrip": 40},
    "strips": {"rowsperstrip": 13},
    "tiles": {"tile": (16, 32)},
}


def written(samples: NDArray[Any], **options: Any) -> bytes:
    """A TIFF as tifffile writes it."""
    file = io.BytesIO()
    tifffile.imwrite(file, samples, metadata=None, **options)
    return file.getvalue()


def by_hand(
    tags: dict[int, tuple[str, Any]], strips: list[bytes], size: tuple[int, int], order: str = "<"
) -> bytes:
    """A TIFF of any tags, also those that no library writes, in the strips that are given."""
    every = {
        256: ("H", size[0]),
        257: ("H", size[1]),
        259: ("H", 1),
        278: ("H", size[1] // max(len(strips), 1)),
        279: ("I", tuple(len(strip) for strip in strips)),
        **tags,
    }
    at, offsets = 8, []
    for strip in strips:
        offsets.append(at)
        at += len(strip)
    every[273] = ("I", tuple(offsets))
    at += at % 2
    entries, rest = b"", b""
    beyond = at + 2 + 12 * len(every) + 4
    kinds = {"B": 1, "H": 3, "I": 4, "b": 6, "h": 8}
    for tag, (kind, values) in sorted(every.items()):
        values = values if isinstance(values, tuple) else (values,)
        packed = struct.pack(f"{order}{len(values)}{kind}", *values)
        entries += struct.pack(f"{order}HHI", tag, kinds[kind], len(values))
        if len(packed) <= 4:
            entries += packed.ljust(4, b"\0")
        else:
            entries += struct.pack(f"{order}I", beyond + len(rest))
            rest += packed + b"\0" * (len(packed) % 2)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", at)
    body = b"".join(strips)
    body += b"\0" * (len(body) % 2)
    return head + body + struct.pack(f"{order}H", len(every)) + entries + b"\0\0\0\0" + rest


def refused(data: bytes) -> UnreadableImage:
    """The refusal that decoding ends in."""
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    return caught.value


def off(data: bytes, expected: Pixels) -> int:
    """By how much the picture differs from what is expected, at its worst place."""
    expected = expected if expected.ndim == 3 else np.stack([expected] * 3, axis=-1)
    pixels = decode(data)
    assert pixels.shape == expected.shape
    return int(np.abs(pixels.astype(int) - expected).max())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tif-8b-contig-webp.tif", "tif-thumbpage.tif"),
        ("tif-16b-separate-raw.tif", "tif-thumbpage.tif"),
        ("tif-12in16.tif", "tif-thumbpage.tif"),
    ],
)
def test_files_of_microscopes_show_the_same_cell(name: str, expected: str) -> None:
    picture = tifffile.imread(CASES / expected, key=0)
    assert off((CASES / name).read_bytes(), picture) <= 1


def test_white_is_white_where_white_is_zero() -> None:
    picture = decode((CASES / "tif-gray16-white.tif").read_bytes())
    colours = Image.fromarray(tifffile.imread(CASES / "tif-thumbpage.tif", key=0))
    assert np.abs(picture[..., 0] - np.asarray(colours.convert("L"), int)).mean() < 5


@pytest.mark.parametrize("laid_out", LAID_OUT)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("packing", PACKED)
def test_what_goes_in_comes_out(packing: str | None, bits: int, laid_out: str) -> None:
    """In grey and colour, planes together or apart, in TIFF and in BigTIFF of the other order."""
    for big, planes in product((False, True), (None, "contig", "separate")):
        eight = CELL if planes else GREY
        samples: NDArray[Any] = eight if bits == 8 else eight.astype(np.uint16) * 257
        if planes == "separate":
            samples = np.ascontiguousarray(np.moveaxis(samples, -1, 0))
        options: dict[str, Any] = {"bigtiff": big, "byteorder": ">" if big else "<"}
        options |= {"photometric": "rgb", "planarconfig": planes} if planes else {}
        options |= PACKED[packing] | LAID_OUT[laid_out]
        assert off(written(samples, compression=packing, **options), eight) == 0, (big, planes)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packing", ["lzw", "zlib", "zstd"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_differences_between_neighbours_are_undone(kind: str, packing: str, order: str) -> None:
    whole: dict[str, NDArray[Any]] = {"uint8": CELL, "uint16": CELL.astype(np.uint16) * 257}
    samples = whole.get(kind, (CELL / 255).astype(np.float32))
    options = {"compression": packing, "predictor": True, "photometric": "rgb", "byteorder": order}
    assert off(written(samples, **options, rowsperstrip=7), CELL) == 0


@pytest.mark.parametrize(
    ("packing", "planes"),
    [*product(("jpeg", "jpegxr"), ("contig", "separate")), ("webp", "contig")],
)
def test_what_loses_a_little_loses_no_more(packing: str, planes: str) -> None:
    samples = CELL if planes == "contig" else np.ascontiguousarray(np.moveaxis(CELL, -1, 0))
    data = written(samples, compression=packing, photometric="rgb", planarconfig=planes)
    assert off(data, CELL) < 40
    assert np.abs(decode(data).astype(int) - CELL).mean() < 5


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
def test_grey_of_any_depth_is_read_and_turned_where_white_is_zero(
    bits: int, white: int, order: str
) -> None:
    highest = 2**bits - 1
    numbers = np.rint(GREY / 255 * highest).astype(np.uint16)
    stored = numbers if white else highest - numbers
    if bits == 16:
        rows = [line.astype(f"{order}u2").tobytes() for line in stored]
    else:
        rows = [_packed(line, bits) for line in stored]
    tags = {258: ("H", bits), 262: ("H", white), 277: ("H", 1)}
    data = by_hand(tags, rows, (50, 40), order)
    assert off(data, np.rint(numbers / highest * 255).astype(np.uint8)) <= 1


def _packed(line: NDArray[Any], bits: int) -> bytes:
    """Numbers of so many bits one after the other, filled up to a whole byte."""
    ones = "".join(f"{number:0{bits}b}" for number in line.tolist())
    ones += "0" * (-len(ones) % 8)
    return int(ones, 2).to_bytes(len(ones) // 8)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_numbers_of_a_camera_are_white_at_the_end_of_its_range(bits: int) -> None:
    """Bits that nobody used are not taken for darkness, in TIFF and in PNG."""
    numbers = np.rint(CELL / 255 * (2**bits - 1)).astype(np.uint16)
    numbers[0, 0] = 2**bits - 1
    expected = np.rint(numbers / (2**bits - 1) * 255).astype(np.uint8)
    assert off(written(numbers, photometric="rgb"), expected) <= 1
    assert off(bytes(imagecodecs.png_encode(numbers)), expected) <= 1


def test_a_dark_picture_of_twelve_bits_stays_dark_if_the_file_says_so() -> None:
    dark = np.full((20, 20), 200, np.uint16)
    assert decode(written(dark)).max() > 150
    data = written(dark, extratags=[(281, 3, 1, 4095, True)])
    assert decode(data).max() == 12


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_fractions_from_0_to_1_are_read(kind: str) -> None:
    assert off(written((GREY / 255).astype(kind)), GREY) <= 1


@pytest.mark.parametrize(("kind", "highest"), [("int8", 127), ("int16", 32767)])
def test_signed_numbers_are_read_where_none_is_below_zero(kind: str, highest: int) -> None:
    ramp = np.repeat(np.linspace(0, highest, 32).astype(kind)[np.newaxis], 20, axis=0)
    assert decode(written(ramp))[0, [0, -1], 0].tolist() == [0, 255]
    assert refused(written(ramp - np.asarray(1, kind))).code == "unsupported"


@pytest.mark.parametrize("factor", [1, 256, 257])
@pytest.mark.parametrize("opacity", [False, True])
def test_a_palette_is_read_whatever_its_depth(factor: int, opacity: bool) -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    table = np.random.default_rng(1).integers(0, 256, (256, 3))
    tags: dict[int, tuple[str, Any]] = {
        258: ("H", (8, 8) if opacity else 8),
        262: ("H", 3),
        277: ("H", 1 + opacity),
        320: ("H", tuple((table.T * factor).ravel().tolist())),
    }
    if opacity:
        tags[338] = ("H", 2)
        numbers = np.stack([numbers, np.full_like(numbers, 255)], axis=-1)
    data = by_hand(tags, [numbers.tobytes()], (50, 40))
    colours = table[numbers[..., 0] if opacity else numbers]
    assert off(data, colours.astype(np.uint8)) == 0


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
@pytest.mark.parametrize("grey", [False, True])
def test_a_fourth_channel_is_an_opacity_only_if_it_says_so(
    bits: int, kind: str, grey: bool
) -> None:
    colours = np.full((20, 24, 1 if grey else 3), 100, np.uint8)
    half = np.full((20, 24, 1), 128, np.uint8)
    samples = np.concatenate([colours, half], axis=-1).astype(f"uint{bits}")
    samples = samples * 257 if bits == 16 else samples
    photometric = "minisblack" if grey else "rgb"
    options = {"photometric": photometric, "planarconfig": "contig", "extrasamples": [kind]}
    data = written(samples, **options)
    if grey and kind == "unspecified":
        assert refused(data).code == "unsupported"
        return
    expected = {"unassalpha": 177, "assocalpha": 227, "unspecified": 100}[kind]
    assert abs(int(decode(data)[5, 5, 0]) - expected) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_it_says(orientation: int) -> None:
    turned = {
        1: CELL,
        2: CELL[:, ::-1],
        3: CELL[::-1, ::-1],
        4: CELL[::-1],
        5: CELL.transpose(1, 0, 2),
        6: CELL[::-1].transpose(1, 0, 2),
        7: CELL[::-1, ::-1].transpose(1, 0, 2),
        8: CELL[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    data = written(CELL, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    assert off(data, turned) == 0


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colours_become_rgb(mode: str) -> None:
    plain = np.full((20, 24, 3), (180, 90, 140), np.uint8)
    image = Image.fromarray(plain)
    if mode == "LAB":
        lab = np.full((20, 24, 3), (49 * 255 // 100, 44, 256 - 13), np.uint8)
        data = by_hand(
            {258: ("H", (8, 8, 8)), 262: ("H", 8), 277: ("H", 3)}, [lab.tobytes()], (24, 20)
        )
    else:
        number = {"CMYK": 5, "YCbCr": 6}[mode]
        samples = image.convert(mode).tobytes()
        channels = len(Image.new(mode, (1, 1)).getbands())
        tags = {258: ("H", (8,) * channels), 262: ("H", number), 277: ("H", channels)}
        data = by_hand(tags | ({530: ("H", (1, 1))} if number == 6 else {}), [samples], (24, 20))
    assert off(data, plain) <= 12


def test_chroma_in_planes_of_its_own_is_not_taken_for_red_green_and_blue() -> None:
    ycbcr = np.asarray(Image.fromarray(CELL).convert("YCbCr"))
    planes = np.ascontiguousarray(np.moveaxis(ycbcr, -1, 0))
    jpegs = [bytes(imagecodecs.jpeg_encode(plane, level=100)) for plane in planes]
    tags: dict[int, tuple[str, Any]] = {
        258: ("H", (8, 8, 8)),
        259: ("H", 7),
        262: ("H", 6),
        277: ("H", 3),
        278: ("H", 40),
        284: ("H", 2),
    }
    assert off(by_hand(tags | {530: ("H", (1, 1))}, jpegs, (50, 40)), CELL) <= 6
    assert refused(by_hand(tags, jpegs, (50, 40))).code == "unsupported"


REFUSED: dict[str, dict[int, tuple[str, Any]]] = {
    "colour filters": {262: ("H", 32803), 258: ("H", 8)},
    "linear raw": {262: ("H", 34892), 258: ("H", (8, 8, 8)), 277: ("H", 3)},
    "LogLuv": {262: ("H", 32845), 258: ("H", (16, 16, 16)), 277: ("H", 3), 259: ("H", 34676)},
    "ITU Lab": {262: ("H", 10), 258: ("H", (8, 8, 8)), 277: ("H", 3)},
    "a camera's DNG": {262: ("H", 1), 258: ("H", 8), 50706: ("B", (1, 4, 0, 0))},
    "channels of fluorescence": {262: ("H", 1), 258: ("H", (8, 8, 8)), 277: ("H", 3)},
    "chroma of half the size": {262: ("H", 6), 258: ("H", (8, 8, 8)), 277: ("H", 3)},
    "other inks": {262: ("H", 5), 258: ("H", (8,) * 4), 277: ("H", 4), 332: ("H", 2)},
    "5, 6 and 5 bits": {262: ("H", 2), 258: ("H", (5, 6, 5)), 277: ("H", 3)},
    "an unknown packing": {262: ("H", 1), 258: ("H", 8), 259: ("H", 32809)},
    "inks and an opacity": {262: ("H", 5), 258: ("H", (8,) * 5), 277: ("H", 5), 338: ("H", 2)},
    "complex numbers": {262: ("H", 1), 258: ("H", 64), 339: ("H", 6)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused_by_name_and_not_guessed(name: str) -> None:
    error = refused(by_hand(REFUSED[name], [bytes(20 * 24 * 16)], (24, 20)))
    assert error.code == "unsupported"
    assert "Save it as an 8-bit RGB PNG" in str(error)


def test_more_channels_than_there_are_colours_are_not_dropped() -> None:
    stack = np.stack([GREY] * 5, axis=-1)
    data = written(stack, photometric="minisblack", planarconfig="contig")
    assert refused(data).code == "unsupported"


def pages(*marks: int) -> bytes:
    """A TIFF with a page for each of the marks that say what it is, smaller and smaller."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for number, mark in enumerate(marks):
            step = number + 1
            picture = np.ascontiguousarray(CELL[::step, ::step])
            writer.write(picture, photometric="rgb", subfiletype=mark, metadata=None)
    return file.getvalue()


@pytest.mark.parametrize("marks", [(0,), (0, 1), (1, 0), (0, 1, 1, 1), (1,)])
def test_reduced_copies_and_masks_are_no_pictures(marks: tuple[int, ...]) -> None:
    step = marks.index(0) + 1 if 0 in marks else 1
    assert off(pages(*marks), CELL[::step, ::step]) == 0


@pytest.mark.parametrize("marks", [(0, 0), (0, 1, 0), (2, 2), (1, 1)])
def test_several_pictures_are_refused_by_name(marks: tuple[int, ...]) -> None:
    assert refused(pages(*marks)).code == "animated"


def test_a_page_that_leads_back_to_itself_is_one_picture() -> None:
    content = bytearray(pages(0))
    (start,) = struct.unpack("<I", content[4:8])
    (entries,) = struct.unpack("<H", content[start : start + 2])
    following = start + 2 + 12 * entries
    content[following : following + 4] = struct.pack("<I", start)
    assert off(bytes(content), CELL) == 0


def test_a_stack_behind_one_page_is_refused_by_name() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([GREY] * 4), imagej=True)
    assert refused(file.getvalue()).code == "animated"


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "jpeg", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_breaks_off_is_refused_by_name(compression: str | None, share: float) -> None:
    """Its directory stands first, as when a TIFF is written over a network."""
    data = written(CELL, photometric="rgb", compression=compression, rowsperstrip=8)
    assert refused(data[: int(len(data) * share)]).code in ("truncated", "damaged")


def test_a_strip_that_is_missing_is_not_black() -> None:
    data = bytearray(written(CELL, photometric="rgb", rowsperstrip=8, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start = file.pages.first.tags[279].valueoffset
    data[start : start + 4] = b"\0\0\0\0"
    assert refused(bytes(data)).code == "truncated"


@pytest.mark.parametrize("packing", ["jpeg", "webp", "png", "jpegxl", "jpeg2000"])
def test_a_strip_that_says_it_is_larger_than_its_place_is_not_unpacked(packing: str) -> None:
    """A few bytes can claim any number of pixels."""
    data = bytearray(written(CELL, photometric="rgb", compression=packing))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        width = file.pages.first.tags[256].valueoffset
    data[width : width + 4] = struct.pack("<I", 16)
    assert refused(bytes(data)).code == "damaged"


def test_too_many_pixels_are_refused_before_they_are_unpacked() -> None:
    tags = {258: ("H", 8), 262: ("H", 1)}
    assert refused(by_hand(tags, [b"x"], (10_000, 10_000))).code == "too_many_pixels"
