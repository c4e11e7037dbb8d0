"""The images that take most memory to decode: some fifty million pixels in few kilobytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

SIDE = 7000
# Squared, just below fifty million.
_LONGEST = 7071
_SHADE = 200
_GREY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _RGBA: 4}
# The first column and row of each pass of an interlaced PNG, and its steps.
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_STRIP_ROWS = 64


def write_all(folder: Path) -> list[Path]:
    """Write one of every kind into a folder; return the files."""
    files = []
    for name, write in _KINDS.items():
        files.append(folder / name)
        write(files[-1])
    return files


def png(
    path: Path, colours: int, bits: int, *, interlaced: bool = False, noise: int | None = None
) -> None:
    """Write a PNG of one shade, or of noise that repeats so that it packs well."""
    side = SIDE if noise is not None else _LONGEST
    depth = _SAMPLES[colours] * bits
    head = struct.pack(">IIBBBBB", side, side, bits, colours, 0, 0, interlaced)
    parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", head)]
    if colours == _PALETTE:
        parts += [_chunk(b"PLTE", bytes(range(256)) * 3), _chunk(b"tRNS", bytes([128]) * 256)]
    passes = _passes(side) if interlaced else [(side, side)]
    parts += [_chunk(b"IDAT", _packed(passes, depth, noise)), _chunk(b"IEND", b"")]
    path.write_bytes(b"".join(parts))


def _passes(side: int) -> list[tuple[int, int]]:
    """The width and height of each pass."""
    sides = range(side)
    return [(len(sides[x::across]), len(sides[y::down])) for x, y, across, down in _ADAM7]


def _packed(passes: Iterable[tuple[int, int]], depth: int, noise: int | None) -> bytes:
    """Packed rows of so many bits a pixel, each after its filter byte."""
    packer, parts = zlib.compressobj(9), []
    for width, rows in passes:
        length = (width * depth + 7) // 8
        if noise is None:
            pixels = bytes([_SHADE]) * length
        else:
            pixels = np.random.default_rng(noise).bytes(length)
        parts += [packer.compress(b"\0" + pixels) for _ in range(rows)]
    return b"".join((*parts, packer.flush()))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff(path: Path, dtype: str, samples: int, rows: int, *, planar: bool = False) -> None:
    """Write a packed TIFF in strips of so many rows."""
    sample = np.array(0.5 if dtype.startswith("f") else _SHADE, dtype)
    shape = (samples, SIDE, SIDE) if planar else (SIDE, SIDE, samples)
    tifffile.imwrite(
        path,
        np.broadcast_to(sample, shape),
        compression="zlib",
        rowsperstrip=rows,
        photometric="separated" if samples == 4 else "rgb",
        planarconfig="separate" if planar else "contig",
    )


def saved(path: Path, mode: str, **options: Any) -> None:
    """Write an image by Pillow, in the format that its name says."""
    colour = (_SHADE, 150, 190, 60)[: len(Image.new(mode, (1, 1)).getbands())]
    Image.new(mode, (SIDE, SIDE), colour).save(path, **options)


_KINDS: dict[str, Callable[[Path], None]] = {
    **{f"noise-{n}.png": partial(png, colours=_RGB, bits=8, noise=n) for n in range(6)},
    "one-bit.png": partial(png, colours=_GREY, bits=1),
    "grey.png": partial(png, colours=_GREY, bits=8),
    "grey-16.png": partial(png, colours=_GREY, bits=16),
    "palette-alpha.png": partial(png, colours=_PALETTE, bits=8),
    "rgb-16.png": partial(png, colours=_RGB, bits=16),
    "alpha.png": partial(png, colours=_RGBA, bits=8),
    "alpha-16.png": partial(png, colours=_RGBA, bits=16),
    "interlaced.png": partial(png, colours=_RGB, bits=8, interlaced=True),
    "interlaced-alpha-16.png": partial(png, colours=_RGBA, bits=16, interlaced=True),
    "rgb-16-one-strip.tif": partial(tiff, dtype="u2", samples=3, rows=SIDE),
    "rgb-16-strips.tif": partial(tiff, dtype="u2", samples=3, rows=_STRIP_ROWS),
    "rgb-16-planar.tif": partial(tiff, dtype="u2", samples=3, rows=SIDE, planar=True),
    "rgb-float.tif": partial(tiff, dtype="f4", samples=3, rows=_STRIP_ROWS),
    "cmyk.tif": partial(tiff, dtype="u1", samples=4, rows=SIDE),
    "plain.jpg": partial(saved, mode="RGB"),
    "cmyk.jpg": partial(saved, mode="CMYK"),
    "progressive.jpg": partial(saved, mode="RGB", progressive=True, subsampling=0),
    "progressive-cmyk.jpg": partial(saved, mode="CMYK", progressive=True),
    "lossy.webp": partial(saved, mode="RGB", method=0),
    "lossless.webp": partial(saved, mode="RGBA", lossless=True, method=0),
}
