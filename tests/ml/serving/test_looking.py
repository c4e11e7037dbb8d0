"""A second look: at those images alone that are in doubt, from four sides, averaged."""

from __future__ import annotations

import numpy as np
import pytest

from ml.answers import Outputs
from ml.decoding import Pixels
from ml.serving.looking import classify_with_second_looks


class Corner:
    """A network that goes by the top left pixel: white is surely class 0, grey is in doubt."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, batch: Pixels) -> Outputs:
        """Logits (N, 2) and features (N, 1)."""
        self.sizes.append(len(batch))
        corner = np.asarray(batch[:, 0, 0, 0] / 255, np.float32)
        logits = np.stack([10 * corner, 10 - 10 * corner], axis=1)
        return Outputs(logits.astype(np.float32), corner[:, np.newaxis])


@pytest.fixture
def images() -> Pixels:
    """uint8 (2, 3, 4, 3): a white one, and one with a grey corner, two white ones and a black."""
    white = np.full((3, 4, 3), 255, np.uint8)
    mixed = white.copy()
    mixed[0, 0], mixed[-1, -1] = 128, 0
    return np.stack([white, mixed])


def test_what_is_sure_is_looked_at_once(images: Pixels) -> None:
    network = Corner()
    outputs = classify_with_second_looks(network, images, 0.9)
    assert network.sizes == [2, 3]
    assert outputs.logits[0].tolist() == [10, 0]


def test_what_is_in_doubt_is_the_mean_of_four_views(images: Pixels) -> None:
    corners = np.array([128, 255, 255, 0]) / 255
    outputs = classify_with_second_looks(Corner(), images, 0.9)
    assert outputs.features[1] == pytest.approx(corners.mean(), abs=1e-6)
    assert outputs.logits[1] == pytest.approx([10 * corners.mean(), 10 - 10 * corners.mean()])


@pytest.mark.parametrize("count", [0, 2])
def test_without_doubt_nothing_is_looked_at_again(images: Pixels, count: int) -> None:
    network = Corner()
    outputs = classify_with_second_looks(network, images[:count], 0.0)
    assert network.sizes == [count]
    assert len(outputs.logits) == count
    assert len(classify_with_second_looks(Corner(), images[:0], 0.9).logits) == 0
