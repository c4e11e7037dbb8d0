"""The copies that people look at: right in size and colour, and bare of all but pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Picture

from core.blobs import MemoryBlobs
from core.made import derivatives
from core.made.derivatives import TILE_SIDE
from ml.decoding import Pixels
from worker.copies import copies, keep_copies, smaller


def plain(height: int, width: int, colour: tuple[int, int, int] = (200, 30, 60)) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def opened(copy: bytes) -> Picture.Image:
    return Picture.open(io.BytesIO(copy))


@pytest.mark.parametrize(
    ("height", "width", "tile"),
    [
        (320, 640, (192, 96)),
        (640, 320, (96, 192)),
        (385, 385, (192, 192)),
        (640, 16, (5, 192)),
        (640, 1, (1, 192)),
    ],
)
def test_the_tile_fits_its_square_and_the_large_copy_is_as_decoded(
    height: int, width: int, tile: tuple[int, int]
) -> None:
    made = copies(plain(height, width))
    assert opened(made.tile).size == tile
    assert opened(made.large).size == (width, height)


def test_a_small_image_is_its_own_tile() -> None:
    made = copies(plain(2 * TILE_SIDE, 40))
    assert made.tile == made.large
    assert opened(made.large).size == (40, 2 * TILE_SIDE)


def test_colours_are_those_of_the_pixels() -> None:
    made = copies(plain(300, 400))
    for copy in (made.tile, made.large):
        seen = np.asarray(opened(copy).convert("RGB"), np.int16)
        assert np.abs(seen - (200, 30, 60)).max() <= 6


@pytest.mark.parametrize("width", [386, 480, 640])
def test_the_tile_averages_and_does_not_sample(width: int) -> None:
    stripes = plain(width, width, (0, 0, 0))
    stripes[:, ::2] = 255
    tile = np.asarray(opened(copies(stripes).tile).convert("L"), np.float64)
    # Sampled, whole stretches would be black or white.
    assert 110 < tile.mean() < 145
    assert np.abs(tile[:, :-1] + tile[:, 1:] - 255).mean() < 120


def test_a_copy_holds_nothing_but_pixels() -> None:
    made = copies(plain(300, 400))
    for copy in (made.tile, made.large):
        picture = opened(copy)
        assert picture.format == "JPEG"
        assert not {"comment", "exif", "icc_profile", "xmp", "adobe"} & picture.info.keys()
        assert copy.endswith(b"\xff\xd9")


def test_a_copy_is_made_smaller_but_never_larger() -> None:
    tile = copies(plain(300, 400)).tile
    assert opened(smaller(tile, 96)).size == (96, 72)
    assert smaller(tile, TILE_SIDE) == tile


def test_pixels_that_do_not_lie_side_by_side_are_encoded_all_the_same() -> None:
    turned = np.swapaxes(plain(300, 400), 0, 1)
    assert opened(copies(turned).large).size == (300, 400)


def test_copies_are_made_once() -> None:
    blobs = MemoryBlobs()
    keep_copies(blobs, "ab", plain(300, 400))
    first = derivatives.read(blobs, "ab")
    keep_copies(blobs, "ab", plain(10, 10))
    assert derivatives.read(blobs, "ab") == first


class Full(MemoryBlobs):
    """A store on a disk that takes nothing more."""

    def put(self, key: str, data: bytes, *, lasting: bool = True) -> None:
        raise OSError(28, "No space left on device")


def test_a_store_that_takes_no_copy_fails_no_image() -> None:
    blobs = Full()
    keep_copies(blobs, "ab", plain(10, 10))
    assert not derivatives.exist(blobs, "ab")
