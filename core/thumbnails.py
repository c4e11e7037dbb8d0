"""Small JPEG copies for people to look at: made once, kept in the blob store, free of metadata.

The network never sees these; it has its own decoder in `ml.images`.
"""

from __future__ import annotations

import io
import threading
from contextlib import AbstractContextManager, nullcontext

from PIL import Image, ImageOps

from core.blobs import BlobStore, image_key, sound_image
from core.intake import refusal

SIDES = (96, 192, 1024)
# One of fifty million pixels takes some 800 MB while it is shrunk: such ones go one by one.
MOST_PIXELS_AT_ONCE = 4_000_000
one_large_image = threading.Lock()
_BACKGROUND = (255, 255, 255)


def thumbnail_key(sha256: str, side: int) -> str:
    """Return where the copy of an image is that has this side."""
    return f"thumbnails/{side}/{sha256[:2]}/{sha256}.jpg"


def keys_of_image(sha256: str) -> tuple[str, ...]:
    """Return every key that belongs to an image's bytes: their own, and what is made of them."""
    return (image_key(sha256), *(thumbnail_key(sha256, side) for side in SIDES))


def thumbnail(blobs: BlobStore, sha256: str, side: int) -> bytes:
    """Return a JPEG of at most ``side`` x ``side`` pixels, one of `SIDES`.

    Raises:
        BlobMissing: the image itself is gone.
        BlobDamaged: its stored bytes are not what was kept.
        Refused: its bytes can't be decoded.
    """
    key = thumbnail_key(sha256, side)
    if blobs.exists(key):
        return blobs.get(key)
    small = _shrink(sound_image(blobs, sha256), side)
    blobs.put(key, small)
    return small


def _shrink(data: bytes, side: int) -> bytes:
    try:
        with Image.open(io.BytesIO(data)) as image:
            # A JPEG can be decoded at a half, a quarter or an eighth for a fraction of the cost.
            image.draft("RGB", (side, side))
            with _turn(image):
                plain = _plain(ImageOps.exif_transpose(image))
                plain.thumbnail((side, side))
            out = io.BytesIO()
            plain.save(out, "JPEG", quality=88)
    except Exception as error:
        # Damaged bytes raise whatever Pillow's decoders stumble over.
        raise refusal("truncated") from error
    return out.getvalue()


def _turn(image: Image.Image) -> AbstractContextManager[object]:
    large = image.width * image.height > MOST_PIXELS_AT_ONCE
    return one_large_image if large else nullcontext()


def _plain(image: Image.Image) -> Image.Image:
    """Make it RGB before it is shrunk: palettes and single bits can't be averaged."""
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    ground = Image.new("RGB", layered.size, _BACKGROUND)
    ground.paste(layered, mask=layered.getchannel("A"))
    return ground


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; Pillow's own conversion clips it to white."""
    return image.convert("F").point(lambda value: value / 256).convert("L")
