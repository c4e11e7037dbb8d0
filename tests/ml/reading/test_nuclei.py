"""Dense patches: measured to the pixel, dirt left out, and lobes joined to their nucleus."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.reading.nuclei import Nucleus, joined, patches

SIDE = 200
# Left, top, width, height and density of a rectangle.
Patch = tuple[int, int, int, int, float]


def found(*rectangles: Patch) -> list[Nucleus]:
    """The patches seen where these are drawn on an empty field."""
    density = np.zeros((SIDE, SIDE), np.float32)
    for left, top, width, height, dense in rectangles:
        density[top : top + height, left : left + width] = dense
    return patches((density > 0).astype(np.uint8), density)


def test_a_patch_is_measured_to_the_pixel() -> None:
    (patch,) = found((30, 50, 20, 10, 0.75))
    assert (patch.left, patch.top, patch.right, patch.bottom) == (30, 50, 50, 60)
    assert (patch.area, patch.extent) == (200, 1)
    assert (patch.x, patch.y) == pytest.approx((39.5, 54.5))
    assert patch.density == pytest.approx(0.75)


def test_dirt_is_smaller_than_a_thousandth_of_the_image_or_little_more() -> None:
    assert found((90, 90, 7, 6, 1.0)) == []
    assert len(found((90, 90, 10, 8, 1.0))) == 1


def test_patches_that_touch_at_a_corner_are_one() -> None:
    (patch,) = found((50, 50, 10, 10, 1.0), (60, 60, 10, 10, 1.0))
    assert patch.area == 200
    assert patch.extent == 0.5


def test_a_round_patch_fills_pi_quarters_of_its_box() -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(mask, (100, 100), 40, 1, -1)
    (patch,) = patches(mask, mask.astype(np.float32))
    assert patch.extent == pytest.approx(math.pi / 4, abs=0.02)


def test_the_pixels_of_a_patch_are_none_of_another_that_lies_in_its_box() -> None:
    density = np.zeros((SIDE, SIDE), np.float32)
    density[50:120, 50:60] = density[110:120, 50:120] = 0.5
    density[60:90, 80:110] = 0.9
    both = patches((density > 0).astype(np.uint8), density)
    values = {patch.area: set(patch.pixels(density).round(3).tolist()) for patch in both}
    assert sorted(values) == [900, 1300]
    assert values[1300] == {0.5}
    assert sorted(values[900]) == pytest.approx([0.9])
    assert all(len(patch.pixels(density)) == patch.area for patch in both)
    dense = {patch.area: patch.density for patch in both}
    assert (dense[900], dense[1300]) == pytest.approx((0.9, 0.5))


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ((90, 90, 20, 20, 1.0), (10, 10, 20, 20, 1.0)),
        ((40, 90, 26, 26, 1.0), (140, 90, 18, 18, 1.0)),
        ((40, 90, 20, 20, 1.2), (140, 90, 20, 20, 0.8)),
    ],
    ids=["central", "large", "dense"],
)
def test_the_central_the_large_and_the_dense_stand_out(more: Patch, less: Patch) -> None:
    for order in ((more, less), (less, more)):
        first, second = found(*order)
        assert first.prominence > second.prominence
        assert (first.left, first.top) == more[:2]


def test_lobes_make_one_nucleus_with_the_sum_of_their_areas() -> None:
    (nucleus,) = joined(found((80, 80, 20, 20, 1.0), (104, 90, 20, 10, 0.9)))
    assert (nucleus.left, nucleus.top, nucleus.right, nucleus.bottom) == (80, 80, 124, 100)
    assert nucleus.area == 600
    assert nucleus.density == pytest.approx((400 * 1.0 + 200 * 0.9) / 600)
    assert nucleus.x == pytest.approx((400 * 89.5 + 200 * 113.5) / 600)


@pytest.mark.parametrize(
    "other",
    [(130, 80, 20, 20, 1.0), (103, 80, 20, 20, 0.7), (103, 85, 7, 8, 1.0)],
    ids=["far", "pale", "small"],
)
def test_what_is_far_or_pale_or_small_is_no_lobe(other: Patch) -> None:
    big = (70, 75, 32, 32, 1.0)
    assert len(joined(found(big, other))) == 2


def test_a_segmented_nucleus_is_followed_from_lobe_to_lobe() -> None:
    lobes = [(80, 80, 18, 18, 1.0), (102, 80, 18, 18, 1.0), (102, 102, 18, 18, 1.0)]
    (nucleus,) = joined(found(*lobes))
    assert nucleus.area == 3 * 18 * 18


def test_a_row_of_cells_is_not_one_long_nucleus() -> None:
    row = [(10 + 24 * step, 90, 20, 20, 1.0) for step in range(7)]
    assert len(joined(found(*row))) > 1


RECTANGLES = st.lists(
    st.tuples(
        st.integers(0, 160), st.integers(0, 160), st.integers(8, 40), st.integers(8, 40),
        st.floats(0.4, 1.5),
    ),
    max_size=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(RECTANGLES)
def test_joining_loses_nothing_and_keeps_the_most_prominent_first(drawn: list[Patch]) -> None:
    apart = found(*drawn)
    nuclei = joined(apart)
    assert sum(one.area for one in nuclei) == sum(one.area for one in apart)
    assert len(nuclei) <= len(apart)
    stand = [one.prominence for one in nuclei]
    assert stand == sorted(stand, reverse=True)


@settings(max_examples=60, deadline=None)
@given(RECTANGLES)
def test_a_mirrored_field_has_the_mirrored_patches(drawn: list[Patch]) -> None:
    flipped = [
        (SIDE - left - width, top, width, height, d) for left, top, width, height, d in drawn
    ]
    there, here = found(*drawn), found(*flipped)

    def edges(one: Nucleus, mirrored: bool) -> NDArray[np.int64]:
        across = (SIDE - one.right, SIDE - one.left) if mirrored else (one.left, one.right)
        return np.array([*across, one.top, one.bottom, one.area])

    # Where rectangles overlap the later one lies on top in both, so the masks are mirror images.
    assert sorted(edges(one, True).tolist() for one in there) == sorted(
        edges(one, False).tolist() for one in here
    )
