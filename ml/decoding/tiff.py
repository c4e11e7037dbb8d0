"""A TIFF of whatever layout → upright pixels, or a refusal that names the layout.

What microscopes and their programs write is wider than what Pillow reads, and some of it Pillow
reads wrongly without an error: tifffile finds the parts of the picture, imagecodecs unpacks them,
and what the numbers mean is settled in `tiff_layout`. What is not known is refused, not guessed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from math import prod

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffFile, TiffPage

from ml.decoding.colour import to_rgb
from ml.decoding.jpeg import frame_of
from ml.decoding.levels import Samples, white_of
from ml.decoding.refusals import refused, require_pixels
from ml.decoding.shrinking import Pixels, shrunk
from ml.decoding.tiff_layout import SEPARATE_PLANES, Layout, layout_of

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NOT_THE_PICTURE = 0b101  # NewSubfileType: a reduced copy, or a mask
_MOST_PAGES = 64
# One strip or tile when unpacked, beside the whole picture in 8 bits.
_MOST_BYTES = 240_000_000
_ROWS_AT_ONCE = 256
_UNCOMPRESSED = 1
_ORIENTATION, _PROFILE, _SUB_DIRECTORIES = 274, 34675, 330
_JPEG = (6, 7, 33007, 34892)
_WEBP = (34927, 50001)
# Files within the file. What they say of their own size is not believed: they must fit their place.
_WHOLE_FILES: dict[int, Callable[..., Samples]] = {
    **dict.fromkeys((33003, 33004, 33005, 34712), imagecodecs.jpeg2k_decode),
    **dict.fromkeys((50002, 52546), imagecodecs.jpegxl_decode),
    **dict.fromkeys((22610, 34934), imagecodecs.jpegxr_decode),
    **dict.fromkeys(_WEBP, imagecodecs.webp_decode),
    34933: imagecodecs.png_decode,
}

# Samples of one channel, (rows, columns), that channel, and their first row and column.
Part = tuple[Samples, int, int, int]


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin like a TIFF or a BigTIFF, of either byte order."""
    return data[:4] in _SIGNATURES


def decode_tiff(data: bytes, max_pixels: int) -> Pixels:
    """The one picture in it, see `ml.decoding.decode`.

    Raises:
        UnreadableImage, or one of `ml.decoding.refusals.FAULTS` if the file is damaged.
    """
    # The pages of a recording of ScanImage would be made up from words in its header.
    with TiffFile(io.BytesIO(data), is_scanimage=False) as file:
        page = _the_picture(file)
        size = (page.imagewidth, page.imagelength)
        require_pixels(size[0] * size[1], max_pixels)
        layout = layout_of(page)
        canvas = _canvas(data, layout)
    profile = page.tags.valueof(_PROFILE)

    def strip(top: int, bottom: int) -> Image.Image:
        rows = canvas[top:bottom].tobytes()
        return to_rgb(Image.frombytes(layout.mode, (size[0], bottom - top), rows), profile)

    return shrunk(size, strip, page.tags.valueof(_ORIENTATION, 1))


def _the_picture(file: TiffFile) -> TiffPage:
    """The page at full resolution: reduced copies and masks beside it are no pictures."""
    pictures: list[TiffPage] = []
    others: list[TiffPage] = []
    seen: set[int] = set()
    for page in file.pages:
        assert isinstance(page, TiffPage)
        if page.offset in seen:
            break  # the chain of pages leads back to one of them
        seen.add(page.offset)
        (others if page.subfiletype & _NOT_THE_PICTURE else pictures).append(page)
        if len(pictures) > 1 or len(others) > _MOST_PAGES:
            raise refused("animated")
    if not pictures and others and _SUB_DIRECTORIES in others[0].tags:
        raise refused("unsupported", what="A raw camera photograph")
    # A lone page is the picture, whatever it says it is.
    page, *more = pictures or others
    if more or page.imagedepth != 1 or _planes(file) > 1:
        raise refused("animated")
    return page


def _planes(file: TiffFile) -> int:
    """How many pictures lie behind one page, in the ways of MetaMorph and of ImageJ."""
    if file.is_stk:
        return int((file.stk_metadata or {}).get("NumberPlanes", 1))
    return int((file.imagej_metadata or {}).get("images", 1)) if file.is_imagej else 1


def _canvas(data: bytes, layout: Layout) -> NDArray[np.uint8]:
    """The picture in 8 bits, (height, width, channels)."""
    page, white = layout.page, layout.white
    if white is None:
        # Unpacked twice: the highest number is known only when all are seen, and keeping them all
        # would take several times the memory.
        colours = (part for part, channel, *_ in _parts(data, layout) if channel < layout.colours)
        white = white_of(colours, layout.stated_highest)
    eight = [layout.converter(channel, white) for channel in range(len(layout.samples))]
    canvas = np.zeros((page.imagelength, page.imagewidth, len(layout.bands)), np.uint8)
    for part, channel, top, left in _parts(data, layout):
        for row in range(0, len(part), _ROWS_AT_ONCE):
            rows = eight[channel](part[row : row + _ROWS_AT_ONCE])
            target = canvas[top + row :, left:][: rows.shape[0], : rows.shape[1]]
            if layout.is_palette and channel == 0:
                target[..., :3] = rows
            else:
                target[..., channel - len(layout.samples)] = rows
        del part
    return canvas


def _parts(data: bytes, layout: Layout) -> Iterator[Part]:
    """All strips or tiles, channel by channel, cut at the picture's edges."""
    page = layout.page
    whole = page.imagelength * page.imagewidth * len(layout.bands)
    is_jpeg = page.compression in _JPEG
    tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if is_jpeg else {}
    for index, (offset, count) in enumerate(_places(page)):
        _, corner, shape = page.decode(None, index)
        if page.compression == _UNCOMPRESSED:
            needed = shape[1] * -(-shape[2] * shape[3] * int(page.bitspersample) // 8)
            count = needed if count > needed else count
        if offset + count > len(data):
            raise refused("truncated")
        packed = data[offset : offset + count]
        if prod(shape) * layout.dtype.itemsize + whole > _MOST_BYTES:
            raise refused("unsupported", what="A TIFF whose picture is stored in too large a piece")
        _require_fitting(packed, page, shape)
        samples = (
            _unpacked(packed, layout, shape)
            if page.compression in _WHOLE_FILES
            else page.decode(packed, index, **tables)[0]
        )
        assert samples is not None  # only of a piece without bytes
        plane, _, top, left, _ = corner
        cut = samples[0, : page.imagelength - top, : page.imagewidth - left]
        if page.planarconfig == SEPARATE_PLANES:
            if plane in layout.samples:
                yield cut[..., 0], layout.samples.index(plane), top, left
        else:
            for channel, sample in enumerate(layout.samples):
                yield cut[..., sample], channel, top, left
        # Two of them at once may be two hundred megabytes.
        del samples, cut


def _places(page: TiffPage) -> Iterator[tuple[int, int]]:
    """Where in the file the strips or tiles lie, and how many bytes each has.

    Raises:
        UnreadableImage: truncated, if some are missing: what is not there would come out black.
    """
    wanted = prod(page.chunked)
    if min(len(page.dataoffsets), len(page.databytecounts)) < wanted:
        raise refused("truncated")
    for offset, count in zip(page.dataoffsets[:wanted], page.databytecounts[:wanted], strict=True):
        if not offset or not count:
            raise refused("truncated")
        yield offset, count


def _unpacked(packed: bytes, layout: Layout, shape: tuple[int, ...]) -> Samples:
    """A strip or tile that is a whole file of another format."""
    target = np.empty(shape[1:] if shape[3] > 1 else shape[1:3], layout.dtype)
    compression = layout.page.compression
    options = {"hasalpha": True} if compression in _WEBP and shape[3] == 4 else {}
    decoded: Samples = _WHOLE_FILES[compression](packed, out=target, **options)
    return decoded.reshape(shape)


def _require_fitting(packed: bytes, page: TiffPage, shape: tuple[int, ...]) -> None:
    """Refuse a JPEG that says it is larger than the strip or tile that it is in."""
    frame = frame_of(packed) if page.compression in _JPEG else None
    if frame and (frame.height > shape[1] or frame.width > shape[2]):
        raise refused("damaged")
