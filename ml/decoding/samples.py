"""An array of samples, as a decoding library gives it → upright pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ml.decoding.colour import to_rgb
from ml.decoding.levels import Samples, to_eight, white_of
from ml.decoding.shrinking import UPRIGHT, Pixels, shrunk

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_ROWS_AT_ONCE = 256


def shrunk_samples(
    samples: Samples,
    profile: bytes | None = None,
    white: float | None = None,
    mode: str | None = None,
    orientation: int = UPRIGHT,
) -> Pixels:
    """The picture that the samples are, of the size that is worked with.

    Args:
        samples: (height, width) or (height, width, channels), the opacity last.
        profile: what the colours are, where the file says so.
        white: the number that is white; it is looked for unless it is known.
        mode: Pillow's word for the channels, unless they are grey or RGB.
        orientation: 1 to 8, as in EXIF.

    Raises:
        UnreadableImage: unsupported, if it can't be told what is white.
    """
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, channels = samples.shape
    mode = mode or _MODES[channels]
    colours = channels - mode.endswith("A")
    if white is None:
        tops = range(0, height, _ROWS_AT_ONCE)
        white = white_of(samples[top : top + _ROWS_AT_ONCE, :, :colours] for top in tops)
    opaque = np.iinfo(samples.dtype).max if white > 255 else white
    eight, opacity = to_eight(white), to_eight(opaque)

    def strip(top: int, bottom: int) -> Image.Image:
        part = samples[top:bottom]
        shown = np.concatenate([eight(part[..., :colours]), opacity(part[..., colours:])], axis=-1)
        return to_rgb(Image.frombytes(mode, (width, bottom - top), shown.tobytes()), profile)

    return shrunk((width, height), strip, orientation)
