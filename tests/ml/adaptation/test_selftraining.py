"""Crops without labels: those are learned from of which the network is sure, and of enough kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.adaptation import selftraining
from ml.adaptation.finetuning import network_of
from ml.adaptation.selftraining import FEWEST_ALONE, FEWEST_SURE, SURE_CROPS, Pupil
from ml.answers import Outputs
from ml.bundle import Bundle
from ml.data import DataError, Labelled, Sample
from ml.reading.locate import NOWHERE
from ml.reading.steps import UNLOOKED


@pytest.fixture
def tiny(tiny_run: Path) -> Bundle:
    """A bundle of a very small network with four classes."""
    return Bundle.load(tiny_run / "bundle")


def pupil(
    bundle: Bundle,
    one_cell: NDArray[np.bool_],
    classes: tuple[int, ...],
    needed: tuple[int, ...] = (),
) -> Pupil:
    """A pupil with grey crops, each of its own file, some of them of one cell."""
    samples = tuple(
        Sample(Path(), f"{number:03}", "", "lab", "", f"{number:03}")
        for number in range(len(one_cell))
    )
    images = np.full((len(samples), 32, 32, 3), 128, np.uint8)
    seen = tuple(UNLOOKED if is_one else NOWHERE for is_one in one_cell)
    crops = Labelled(samples, images, np.full(len(samples), -1, np.int64), seen)
    return Pupil(bundle, 1, (), crops, classes, needed, 0, lambda stage, done, words: None)


def answering(logits: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the network say this of the crops with one cell, in their order."""

    def seen(bundle: Bundle, network: object, cells: Labelled) -> Outputs:
        rows = np.array([int(sample.file) for sample in cells.samples])
        return Outputs(logits[rows], np.zeros((len(rows), 4), np.float32))

    monkeypatch.setattr(selftraining, "seen", seen)


def logits_of(labels: NDArray[np.int64], sure: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Logits for these classes of four, at 0.97 where sure and at 0.75 elsewhere."""
    height = np.where(sure, 4.57, 2.2).astype(np.float32)
    rows: NDArray[np.float32] = np.eye(4, dtype=np.float32)[labels] * height.reshape(-1, 1)
    return rows


def test_what_the_network_is_sure_of_is_taken_for_what_it_says(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 12 * FEWEST_SURE
    labels = np.arange(count) % 3
    sure = np.arange(count) % 2 == 0
    single = np.arange(count) % 4 < 3
    # Of class 2 too few are sure; class 1 is not looked for.
    sure &= (labels != 2) | (np.arange(count) < 3 * FEWEST_SURE)
    answering(logits_of(labels, sure), monkeypatch)
    crops = pupil(tiny, single, (0, 2, 3)).sure(network_of(tiny))
    expected = np.flatnonzero(sure & single & (labels == 0))
    assert [int(sample.file) for sample in crops.samples] == expected.tolist()
    assert set(crops.truth.tolist()) == {0}
    assert {(s.label, s.source) for s in crops.samples} == {(tiny.metadata.classes[0], SURE_CROPS)}
    assert [sample.group for sample in crops.samples] == [s.file for s in crops.samples]


def test_crops_that_nothing_can_be_learned_from_are_refused(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 4 * FEWEST_SURE
    labels = np.arange(count) % 4
    answering(logits_of(labels, np.zeros(count, bool)), monkeypatch)
    with pytest.raises(DataError, match="Give more, or leave them out"):
        pupil(tiny, np.ones(count, bool), (0, 1, 2, 3)).sure(network_of(tiny))
    with pytest.raises(DataError, match="None of the unlabelled crops shows exactly one cell"):
        pupil(tiny, np.zeros(count, bool), (0, 1, 2, 3)).sure(network_of(tiny))


def test_without_labels_enough_is_needed_of_every_class(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.repeat([0, 1, 2], [FEWEST_ALONE, FEWEST_ALONE - 1, FEWEST_ALONE])
    answering(logits_of(labels, np.ones(len(labels), bool)), monkeypatch)
    everything, single = (0, 1, 2, 3), np.ones(len(labels), bool)
    with pytest.raises(DataError, match=r"too few: lymphocyte 19\. It needs 20 of each class"):
        pupil(tiny, single, everything, (0, 1, 2)).sure(network_of(tiny))
    assert len(pupil(tiny, single, everything, (0, 2)).sure(network_of(tiny)).truth) == len(labels)
