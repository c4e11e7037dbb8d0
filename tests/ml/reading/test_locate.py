"""Where the cell is, measured against boxes that people drew, and on drawn smears."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.locate import around, drawn_boxes, errors
from ml.data import Sample
from ml.decoding import Pixels, decode
from ml.reading import Location, Sight, Slide
from ml.reading.locate import find_nuclei, locate, quantile

BACKGROUND, RED_CELL, NUCLEUS = (225, 215, 205), (200, 160, 160), (110, 60, 140)


def smear(*nuclei: tuple[int, int], radius: int = 24, side: int = 240) -> Pixels:
    """A field of red cells with nuclei at (x, y)."""
    image = np.full((side, side, 3), BACKGROUND, np.uint8)
    for x in range(20, side, 60):
        for y in range(20, side, 60):
            cv2.circle(image, (x, y), 18, RED_CELL, -1)
    for middle in nuclei:
        cv2.circle(image, middle, radius, NUCLEUS, -1)
    return image


def seen(image: Pixels) -> Location:
    return locate(Slide.of(image))


def middle(location: Location) -> tuple[float, float]:
    assert location.box is not None
    return (
        (location.box.left + location.box.right) / 2,
        (location.box.top + location.box.bottom) / 2,
    )


def test_a_nucleus_is_found_where_it_is() -> None:
    location = seen(smear((80, 150)))
    assert location.sight is Sight.ONE
    assert middle(location) == pytest.approx((80 / 240, 150 / 240), abs=0.02)


def test_the_box_holds_the_nucleus_and_some_of_the_cell_round_it() -> None:
    box = seen(smear((120, 120))).box
    assert box is not None
    assert 1.1 < (box.right - box.left) * 240 / 49 < 1.7


def test_a_field_of_red_cells_alone_holds_no_more_than_one_patch_that_is_darker() -> None:
    assert seen(smear()).sight is not Sight.SEVERAL


@pytest.mark.parametrize("level", [0, 128, 255])
def test_nothing_is_found_where_nothing_is(level: int) -> None:
    assert seen(np.full((120, 160, 3), level, np.uint8)) == Location(Sight.NONE, None)


@pytest.mark.parametrize("colour", [(250, 190, 20), (60, 110, 40), (180, 90, 30)])
def test_a_picture_in_colours_that_no_stain_gives_is_no_smear(colour: tuple[int, int, int]) -> None:
    image = smear((120, 120))
    image[:80] = colour
    assert seen(image) == Location(Sight.FOREIGN, None)


def test_everyday_photographs_are_no_smears(data: Path) -> None:
    paths = sorted((data / "unfamiliar" / "everyday").iterdir())
    images = [decode(path.read_bytes()) for path in paths if path.suffix == ".jpg"]
    assert len(images) == 8
    assert all(seen(image).sight is Sight.FOREIGN for image in images)


@pytest.mark.parametrize("folder", ["pbc8/images", "raabin5", "bccd4/TEST", "fields/draaslan"])
def test_no_smear_of_any_laboratory_is_taken_for_another_thing(data: Path, folder: str) -> None:
    paths = sorted(p for p in (data / folder).rglob("*") if p.suffix in (".jpg", ".jpeg"))[::13]
    assert paths
    assert not [path for path in paths if Slide.of(decode(path.read_bytes())).foreign]


def test_two_nuclei_far_apart_are_several_cells() -> None:
    assert seen(smear((70, 120), (170, 120))).sight is Sight.SEVERAL


def test_lobes_that_lie_close_are_one_nucleus() -> None:
    image = smear((107, 120), (132, 126), radius=12)
    location = seen(image)
    assert location.sight is Sight.ONE
    assert middle(location)[0] == pytest.approx(119.5 / 240, abs=0.03)


def test_of_two_nuclei_the_central_one_is_taken() -> None:
    assert middle(seen(smear((125, 115), (215, 25)))) == pytest.approx((0.52, 0.48), abs=0.03)


def test_the_black_rim_of_a_rotated_image_is_no_nucleus() -> None:
    image = smear((140, 100))
    turn = cv2.getRotationMatrix2D((120, 120), 20, 1.0)
    turned = np.asarray(cv2.warpAffine(image, turn, (240, 240)), np.uint8)
    x, y = turn @ (140, 100, 1)
    assert middle(seen(turned)) == pytest.approx((x / 240, y / 240), abs=0.02)


@pytest.mark.parametrize("tint", [(1.0, 0.85, 0.7), (0.8, 0.9, 1.0), (0.6, 0.6, 0.6)])
def test_the_colour_of_the_light_does_not_matter(tint: tuple[float, float, float]) -> None:
    image = (smear((90, 130)) * tint).astype(np.uint8)
    assert middle(seen(image)) == pytest.approx((90 / 240, 130 / 240), abs=0.02)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (16, 16)])
def test_an_image_of_any_size_is_taken(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert seen(image).sight in Sight


def test_the_box_stays_inside_the_image() -> None:
    box = seen(smear((8, 120))).box
    assert box is not None
    assert box.left == 0
    assert 0 < box.right < 0.3


def test_the_most_prominent_nucleus_comes_first() -> None:
    nuclei = find_nuclei(Slide.of(smear((120, 120), (30, 30))))
    assert [nucleus.prominence for nucleus in nuclei] == sorted(
        (nucleus.prominence for nucleus in nuclei), reverse=True
    )


def test_cells_are_found_where_people_drew_their_boxes(data: Path) -> None:
    hits, centres, sizes = [], [], []
    for path, boxes in list(drawn_boxes(data).items())[::4]:
        image = decode(path.read_bytes())
        location = seen(image)
        drawn = around(location, boxes)
        hits.append(drawn is not None)
        if drawn is not None and location.box is not None:
            centre, size = errors(location.box, drawn, image.shape)
            centres.append(centre)
            sizes.append(size)
    assert len(hits) > 100
    assert np.mean(hits) >= 0.98
    assert np.median(centres) < 0.08
    assert 0.9 < np.median(sizes) < 1.1


@pytest.mark.parametrize("count", [1, 2, 11, 500])
def test_a_quantile_is_that_of_numpy(count: int) -> None:
    values = np.random.default_rng(count).random(count).astype(np.float32)
    for share in (0.0, 0.7, 1.0):
        assert quantile(values, share) == pytest.approx(np.quantile(values, share), abs=1e-6)


def test_a_copy_that_lost_its_cell_says_so(bccd4: list[Sample]) -> None:
    sights = [seen(decode(sample.path.read_bytes())).sight for sample in bccd4[::40]]
    assert sights.count(Sight.ONE) / len(sights) > 0.95
