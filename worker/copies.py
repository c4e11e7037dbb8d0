"""Makes the copies that people look at from the decoder's pixels."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import simplejpeg

from core.blobs import BlobStore
from core.made import derivatives
from core.made.derivatives import TILE_SIDE, Derivatives
from ml.decoding import Pixels

_QUALITY = 88
# A crop no longer than this is used as its own tile: a page of the gallery is twice as heavy, but
# the worker does a third less work.
_OWN_TILE_SIDE = 2 * TILE_SIDE

log = logging.getLogger(__name__)


def keep_copies(blobs: BlobStore, sha256: str, image: Pixels) -> None:
    """Put the copies of an image into the store, unless they are there.

    If the store takes nothing, that is no error: a page that misses the copies asks for them again.
    """
    if derivatives.exist(blobs, sha256):
        return
    try:
        derivatives.keep(blobs, sha256, copies(image))
    except OSError as error:
        log.warning("The copies of an image could not be kept: %s.", type(error).__name__)


def copies(image: Pixels) -> Derivatives:
    """Return the copies of an image, uint8 (height, width, 3), as JPEG files without metadata."""
    large = _jpeg(image)
    if max(image.shape) <= _OWN_TILE_SIDE:
        return Derivatives(large, large)
    return Derivatives(_jpeg(shrink(image, TILE_SIDE)), large)


def smaller(copy: bytes, side: int) -> bytes:
    """Return a copy whose longer side is at most ``side`` pixels."""
    image = np.asarray(simplejpeg.decode_jpeg(copy), np.uint8)
    return _jpeg(shrink(image, side)) if max(image.shape) > side else copy


def shrink(image: Pixels, side: int) -> Pixels:
    """Bring the longer side of a larger image down to ``side`` pixels."""
    height, width = image.shape[:2]
    longer = max(height, width)
    factor = longer // side
    if factor > 1:
        # Shrink by a whole number first: linear interpolation uses at most two pixels per side.
        size = (max(1, width // factor), max(1, height // factor))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    size = (max(1, round(width * side / longer)), max(1, round(height * side / longer)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _jpeg(image: Pixels) -> bytes:
    pixels = np.ascontiguousarray(image)
    file: bytes = simplejpeg.encode_jpeg(
        pixels, quality=_QUALITY, colorsubsampling="420", fastdct=True
    )
    return file
