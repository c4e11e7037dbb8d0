"""What the numbers of a TIFF mean: which of its samples are colours, and how they become 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageMode
from tifffile import TiffPage

from ml.decoding.levels import Samples, to_eight
from ml.decoding.refusals import refused

# PhotometricInterpretation → Pillow's word for such colours, and how many samples they take.
_WHITE_IS_ZERO, _RGB, _PALETTE, _INKS, _YCBCR, _CIE_LAB, _ICC_LAB = 0, 2, 3, 5, 6, 8, 9
_COLOURS = {
    _WHITE_IS_ZERO: ("L", 1),
    1: ("L", 1),
    _RGB: ("RGB", 3),
    _PALETTE: ("P", 1),
    _INKS: ("CMYK", 4),
    _YCBCR: ("YCbCr", 3),
    _CIE_LAB: ("LAB", 3),
    _ICC_LAB: ("LAB", 3),
}
# ExtraSamples: colours already multiplied by the opacity, and colours as they are.
_ASSOCIATED, _UNASSOCIATED = 1, 2
_PHOTOMETRIC, _MAX_SAMPLE, _COLOUR_MAP, _INK_SET, _DOT_RANGE = 262, 281, 320, 332, 336
_EXTRA_SAMPLES, _S_MAX_SAMPLE, _COEFFICIENTS, _REFERENCE = 338, 341, 529, 532
_DNG_VERSION, _CMYK_INKS = 50706, 1
SEPARATE_PLANES = 2
# Decoders that give RGB or grey, whatever colours the data are packed in; the last one gives YCbCr
# though it is called RGB.
_GIVE_RGB = {6, 7, 33007, 34892, 34927, 34933, 50001, 50002, 52546}
_APERIO_YCBCR = 33003
_COMPRESSIONS = _GIVE_RGB | {
    *(1, 2, 3, 4, 5, 8, 22610, 32773, 32946, 33003, 33004, 33005),
    *(34712, 34887, 34925, 34926, 34934, 50000),
}
_OTHER_COLOURS = ("CMYK", "YCbCr", "LAB")
_REC_601, _FULL_RANGE = (0.299, 0.587, 0.114), (0, 255, 128, 255, 128, 255)

Converter = Callable[[Samples], NDArray[np.uint8]]


@dataclass(frozen=True)
class Layout:
    """How a page's samples make up a picture.

    ``mode`` is Pillow's word for what the converted samples are, ``samples`` which ones of the page
    are needed, colours first, and ``colours`` how many of those are colours and not opacity.
    """

    page: TiffPage
    dtype: np.dtype[Any]
    photometric: int
    mode: str
    samples: tuple[int, ...]
    colours: int

    @property
    def is_palette(self) -> bool:
        """Whether the numbers are those of colours in a table."""
        return self.photometric == _PALETTE

    @property
    def bands(self) -> tuple[str, ...]:
        """The channels of the converted picture, by Pillow's names."""
        return ImageMode.getmode(self.mode).bands

    @property
    def white(self) -> float | None:
        """The number that is white, if the type of the samples says so."""
        kind, bits = self.dtype.kind, int(self.page.bitspersample)
        if kind == "b" or self.photometric == _PALETTE:
            return 1
        seen = kind != "u" or (bits >= 16 and self.mode not in _OTHER_COLOURS)
        return None if seen else 2**bits - 1

    @property
    def stated_highest(self) -> int:
        """The highest number that the page says it has; 0 where it says nothing."""
        values = [self.page.tags.valueof(tag) for tag in (_MAX_SAMPLE, _S_MAX_SAMPLE)]
        numbers = np.hstack([0, *(value for value in values if value is not None)])
        return int(np.nan_to_num(numbers.astype(float), nan=0, posinf=0).max())

    def converter(self, channel: int, white: float) -> Converter:
        """What turns samples of one channel, (rows, columns), into 8 bits.

        Numbers of a palette become all three colours, (rows, columns, 3).
        """
        if self.is_palette and channel == 0:
            table = _colour_map(self.page)
            return lambda samples: table.take(samples, axis=0, mode="clip")
        if self.mode == "LAB":
            return _lab(signed=self.photometric == _ICC_LAB and channel > 0)
        if channel >= self.colours:
            return to_eight(self._opaque)
        eight = to_eight(white)
        if self.photometric == _WHITE_IS_ZERO:
            return lambda samples: 255 - eight(samples)
        return eight

    @property
    def _opaque(self) -> float:
        """The number of full opacity, which has the whole range of its type."""
        return 1 if self.dtype.kind in "bf" else 2 ** int(self.page.bitspersample) - 1


def layout_of(page: TiffPage) -> Layout:
    """The page's layout.

    Raises:
        UnreadableImage: it is damaged, or unsupported and is named.
    """
    dtype = _dtype(page)
    photometric = _photometric(page)
    mode, colours = _COLOURS[photometric]
    if photometric == _YCBCR and _is_given_as_rgb(page):
        mode, photometric = "RGB", _RGB
    extra = page.samplesperpixel - colours
    if extra < 0:
        raise refused("damaged")
    opacity = _opacity(page, mode, extra)
    samples = (*range(colours), *((colours + opacity[0],) if opacity else ()))
    return Layout(page, dtype, photometric, _shown(mode, opacity), samples, colours)


def _dtype(page: TiffPage) -> np.dtype[Any]:
    """The type of the samples, once it is known that they can be unpacked."""
    if page.compression not in _COMPRESSIONS:
        raise refused("unsupported", what=f"A TIFF with compression {int(page.compression)}")
    if (
        page.dtype is None
        or page.dtype.kind not in "biuf"
        or not isinstance(page.bitspersample, int)
    ):
        raise refused("unsupported", what=f"A TIFF with samples of {page.bitspersample!r} bits")
    if page.photometric in (_CIE_LAB, _ICC_LAB) and page.bitspersample not in (8, 16):
        raise refused("unsupported", what="A TIFF with Lab colours of more than 16 bits")
    if _DNG_VERSION in page.tags:
        raise refused("unsupported", what="A raw camera photograph")
    return page.dtype


def _photometric(page: TiffPage) -> int:
    photometric = int(page.photometric)
    if photometric not in _COLOURS:
        raise refused("unsupported", what=f"A TIFF with {page.photometric!s} colours")
    if page.compression == _APERIO_YCBCR:
        return _YCBCR
    if photometric == _INKS and not _are_ordinary_inks(page):
        raise refused(
            "unsupported", what="A TIFF with inks other than cyan, magenta, yellow and black"
        )
    if photometric == _YCBCR and not (_is_given_as_rgb(page) or _is_plain_ycbcr(page)):
        raise refused("unsupported", what="A TIFF with YCbCr colours of unusual range or sampling")
    return photometric


def _are_ordinary_inks(page: TiffPage) -> bool:
    full = tuple(page.tags.valueof(_DOT_RANGE, (0, 1))[:2])
    return bool(page.tags.valueof(_INK_SET, _CMYK_INKS) == _CMYK_INKS and full[0] < full[1])


def _is_given_as_rgb(page: TiffPage) -> bool:
    """Whether unpacking turns YCbCr into RGB; planes by themselves stay what they are."""
    return page.compression in _GIVE_RGB and page.planarconfig != SEPARATE_PLANES


def _is_plain_ycbcr(page: TiffPage) -> bool:
    coefficients = page.tags.valueof(_COEFFICIENTS)
    range_ = page.tags.valueof(_REFERENCE)
    if page.is_subsampled or page.bitspersample != 8:
        return False
    usual = coefficients is None or np.allclose(_ratios(coefficients), _REC_601, atol=0.002)
    full = range_ is None or np.allclose(_ratios(range_), _FULL_RANGE, atol=1)
    return bool(usual and full)


def _ratios(values: tuple[int, ...]) -> list[float]:
    return [above / max(below, 1) for above, below in zip(values[::2], values[1::2], strict=True)]


def _opacity(page: TiffPage, mode: str, extra: int) -> tuple[int, int] | None:
    """Which of the samples behind the colours is the opacity, and of which kind; None if none is.

    Raises:
        UnreadableImage: unsupported, if those samples may be anything else that matters.
    """
    kinds = [int(kind) for kind in page.extrasamples[:extra]]
    if mode == "RGB" and extra == 1 and _EXTRA_SAMPLES not in page.tags:
        kinds = [_UNASSOCIATED]
    for index, kind in enumerate(kinds):
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            if mode in ("L", "RGB", "P"):
                return index, kind
            raise refused(
                "unsupported", what="A transparent TIFF in colours other than RGB or grey"
            )
    if extra and mode in ("L", "P"):
        raise refused("unsupported", what=f"A TIFF with {1 + extra} channels")
    return None


def _shown(mode: str, opacity: tuple[int, int] | None) -> str:
    """Pillow's word for the converted samples."""
    shown = "RGB" if mode == "P" else mode
    if opacity is None:
        return shown
    return shown + ("a" if opacity[1] == _ASSOCIATED else "A")


def _colour_map(page: TiffPage) -> NDArray[np.uint8]:
    """The palette as (colours, 3); some programs write it in 8 bits and not in 16."""
    table = page.tags.valueof(_COLOUR_MAP)
    if table is None:
        raise refused("damaged")
    colours = np.asarray(table, np.uint16).reshape(3, -1).T
    # The upper half, for 8 bits are made 16 by some with a factor of 256 and by others of 257.
    return (colours if colours.max() < 256 else colours >> 8).astype(np.uint8)


def _lab(*, signed: bool) -> Converter:
    """Of 16 bits the upper half is taken; Pillow wants a* and b* as signed numbers."""

    def convert(samples: Samples) -> NDArray[np.uint8]:
        upper = (samples >> (samples.dtype.itemsize * 8 - 8)).astype(np.uint8)
        return upper ^ np.uint8(0x80) if signed else upper

    return convert
