"""The ruler: how large red cells are, on drawn smears and against boxes that people drew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.locate import drawn_boxes, red_size
from lexicon.verdicts import Box
from ml.decoding import InputShape, Pixels, decode
from ml.reading import Preprocessing, Sight, Slide, read
from ml.reading.locate import locate
from ml.reading.redcells import diameter
from tests.ml.decoding.test_images import encoded
from tests.ml.reading.test_locate import BACKGROUND, NUCLEUS, RED_CELL, smear


def ruler(image: Pixels) -> float | None:
    slide = Slide.of(image)
    box = locate(slide).box
    assert box is not None
    return diameter(slide, box)


def red_cells(radius: int, pallor: float = 0.0) -> Pixels:
    """Red cells of a radius round a nucleus, on 240 pixels a side."""
    image = np.full((240, 240, 3), BACKGROUND, np.uint8)
    for x in range(30, 240, 60):
        for y in range(30, 240, 60):
            cv2.circle(image, (x, y), radius, RED_CELL, -1)
            cv2.circle(image, (x, y), int(radius * pallor), BACKGROUND, -1)
    cv2.circle(image, (120, 120), 28, NUCLEUS, -1)
    return image


@pytest.mark.parametrize("radius", [12, 18, 24])
def test_the_ruler_grows_with_the_red_cells(radius: int) -> None:
    assert ruler(red_cells(radius)) == pytest.approx(2 * radius / 240, rel=0.12)


def test_a_pale_middle_is_part_of_the_cell() -> None:
    assert ruler(red_cells(22, 0.4)) == pytest.approx(44 / 240, rel=0.12)


def test_cells_that_touch_are_measured_one_by_one() -> None:
    assert ruler(red_cells(31)) == pytest.approx(62 / 240, rel=0.15)


def test_the_ruler_does_not_hang_on_the_picture_s_size() -> None:
    large = cv2.resize(red_cells(20), (720, 720), interpolation=cv2.INTER_LINEAR)
    assert ruler(np.asarray(large, np.uint8)) == pytest.approx(40 / 240, rel=0.12)


def test_without_red_cells_there_is_no_ruler() -> None:
    image = np.full((240, 240, 3), BACKGROUND, np.uint8)
    cv2.circle(image, (120, 120), 28, NUCLEUS, -1)
    assert ruler(image) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (16, 16)])
def test_an_image_of_any_size_is_measured(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    measured = diameter(Slide.of(image), Box(0.2, 0.2, 0.8, 0.8))
    assert measured is None or 0 < measured <= 1


def test_red_cells_are_as_large_as_people_drew_them(data: Path) -> None:
    leucocytes, ratios = drawn_boxes(data), []
    for path, boxes in list(drawn_boxes(data, "rbc").items())[::5]:
        if path not in leucocytes or not path.is_file():
            continue
        image = decode(path.read_bytes())
        size, measured = red_size(boxes, image.shape), ruler(image)
        if size is not None:
            assert measured is not None
            ratios.append(measured / size)
    assert len(ratios) > 50
    assert 0.8 < np.median(ratios) < 1.0
    assert np.quantile(ratios, 0.9) / np.quantile(ratios, 0.1) < 1.5


def dark_share(image: Pixels, steps: Preprocessing) -> float:
    """How much of what the network sees is nucleus."""
    seen = read(encoded(Image.fromarray(image), "PNG"), InputShape(96, 96), steps).pixels
    return float((seen[..., 1] < 110).mean())


def test_a_large_nucleus_looks_larger_than_a_small_one_only_beside_a_ruler() -> None:
    small, large = smear((120, 120), radius=16), smear((120, 120), radius=30)
    blind, ruled = Preprocessing.located(1.3), Preprocessing.located(1.3, span=3.2)
    assert dark_share(small, blind) == pytest.approx(dark_share(large, blind), rel=0.15)
    assert dark_share(large, ruled) > 2 * dark_share(small, ruled)


def test_the_ruler_may_be_wrong_only_so_far() -> None:
    image = smear((120, 120))
    near, far = Preprocessing.located(1.3, span=0.1), Preprocessing.located(1.3, span=90.0)
    plain = dark_share(image, Preprocessing.located(1.3))
    assert plain < dark_share(image, near) < 1.6 * plain
    assert plain / 7 < dark_share(image, far) < plain / 4


def cluster() -> Pixels:
    """Nuclei of many cells that touch: one dense patch, wider than any cell."""
    image = np.full((480, 480, 3), BACKGROUND, np.uint8)
    for x in range(20, 480, 40):
        for y in range(20, 480, 40):
            cv2.circle(image, (x, y), 14, RED_CELL, -1)
    for away in range(-105, 106, 42):
        for slope in (-1, 1):
            cv2.circle(image, (240 + away, 240 + slope * away), 28, NUCLEUS, -1)
    return image


@pytest.mark.parametrize(("locator", "sight"), [(2, Sight.ONE), (3, Sight.SEVERAL)])
def test_what_is_wider_than_any_cell_is_several(locator: int, sight: Sight) -> None:
    steps = replace(Preprocessing.located(1.3, span=3.2), locator=locator)
    data = encoded(Image.fromarray(cluster()), "PNG")
    assert read(data, InputShape(96, 96), steps).location.sight is sight
