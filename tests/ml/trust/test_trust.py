"""Outcomes follow from sets, distances and what was seen; damaged trust is never believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.gates import Energy
from lexicon.outcomes import Outcome
from lexicon.verdicts import Box
from ml.answers import Outputs
from ml.reading import Location, Sight
from ml.trust import TooFewCells, Trust, TrustMismatch
from ml.trust.calibration import softmax
from ml.trust.fitting import LEVELS, STEPS, LabelledOutputs, fit_trust
from ml.trust.judge import Familiar, read_trust, write_trust
from ml.trust.unfamiliar import Nearest

CLASSES = ("eosinophil", "lymphocyte", "platelet")
BOX = Box(0.25, 0.25, 0.75, 0.75)
ONE = Location(Sight.ONE, BOX)
WIDTH = 24
Said = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


def labelled_outputs(count: int, seed: int) -> LabelledOutputs:
    """Cells of two photographs each from two sources, a few of them mistaken by the network."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 3
    seen = np.where(rng.random(count) < 0.05, rng.integers(0, 3, count), truth)
    features = np.eye(3, WIDTH)[seen] * 4 + rng.normal(size=(count, WIDTH)) * 0.4
    return LabelledOutputs(
        outputs=outputs(features[:, :3] * 3, features),
        truth=truth.astype(np.int64),
        photographs=[f"photograph {number // 6} of {number % 3}" for number in range(count)],
        sources=["near" if number // 6 < count // 18 else "far" for number in range(count)],
    )


def outputs(logits: NDArray[Any], features: NDArray[Any]) -> Outputs:
    """What a network would give."""
    return Outputs(logits.astype(np.float32), features.astype(np.float32))


@pytest.fixture(scope="module")
def fitted() -> tuple[Said, Arrays]:
    """What 1,200 validation cells said, as JSON gives it back, and the arrays."""
    reference = labelled_outputs(600, 7)
    gate = Nearest.fit(reference.outputs, reference.truth, reference.photographs)
    numbers, arrays = fit_trust(labelled_outputs(1200, 0), CLASSES, gate, few_shot=["platelet"])
    return json.loads(json.dumps(numbers)), arrays


@pytest.fixture(scope="module")
def trust(fitted: tuple[Said, Arrays]) -> Trust:
    """The trust that was measured."""
    return Trust.of(CLASSES, *fitted)


def test_the_promise_rests_on_sets_that_may_be_empty(trust: Trust) -> None:
    sure, torn = [0.9999, 0.00005, 0.00005], [0.5, 0.49, 0.01]
    members = trust.promised(np.array([sure, torn]))
    assert members is not None
    level = next(candidate for candidate in trust.levels if candidate.coverage == trust.coverage)
    assert members.tolist() == [
        [1 - p <= limit for p, limit in zip(row, level.limits, strict=True)] for row in (sure, torn)
    ]
    assert Trust(CLASSES).promised(np.array([sure])) is None


def a_cell(strange: bool = False, torn: bool = False) -> Outputs:
    """One image: an eosinophil, or one between two classes, or of features never seen."""
    features = np.zeros((1, WIDTH))
    features[0, 0] = 4
    if strange:
        features[0] = np.linspace(-1, 1, WIDTH)
    logits = np.array([[2.0, 1.9, -9.0]]) if torn else np.array([[12.0, 0.0, 0.0]])
    return outputs(logits, features)


@pytest.mark.parametrize(
    ("strange", "sight", "torn", "outcome", "reason"),
    [
        (False, Sight.ONE, False, Outcome.ACCEPTED, ""),
        (False, Sight.ONE, True, Outcome.UNCERTAIN, "between_classes"),
        (False, Sight.SEVERAL, False, Outcome.UNFAMILIAR, "several_cells"),
        (False, Sight.SEVERAL, True, Outcome.UNFAMILIAR, "several_cells"),
        (True, Sight.ONE, False, Outcome.UNFAMILIAR, "unlike_training"),
        (True, Sight.SEVERAL, True, Outcome.UNFAMILIAR, "several_cells"),
        (False, Sight.FOREIGN, False, Outcome.UNFAMILIAR, "no_smear"),
        (False, Sight.NONE, False, Outcome.UNFAMILIAR, "no_cell"),
        (True, Sight.NONE, True, Outcome.UNFAMILIAR, "no_cell"),
    ],
)
def test_the_outcome_of_every_case(
    trust: Trust, strange: bool, sight: Sight, torn: bool, outcome: Outcome, reason: str
) -> None:
    box = None if sight == Sight.NONE else BOX
    [verdict] = trust.judge(a_cell(strange, torn), [Location(sight, box)])
    assert (verdict.outcome, verdict.reason) == (outcome, reason)
    assert verdict.candidates == (("eosinophil", "lymphocyte") if torn else ("eosinophil",))
    assert verdict.label == "eosinophil"
    assert verdict.box == box


def test_a_bundle_without_trust_is_believed_in_all_that_it_says() -> None:
    plain = Trust.of(CLASSES, {}, {})
    both = Outputs(
        *(np.concatenate(pair) for pair in zip(*map(_parts, (True, False)), strict=True))
    )
    for verdict in plain.judge(both, [ONE, ONE]):
        assert verdict.outcome == Outcome.ACCEPTED
        assert (verdict.reason, verdict.familiarity) == ("", None)
        assert verdict.candidates == (verdict.label,)
        assert verdict.probabilities == pytest.approx(
            softmax(a_cell(torn=True).logits)[0].tolist(), abs=1e-7
        )


def _parts(strange: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    outputs = a_cell(strange, torn=True)
    return outputs.logits, outputs.features


def test_a_bundle_without_trust_finds_no_cell_where_there_is_none() -> None:
    [verdict] = Trust(CLASSES).judge(a_cell(), [Location(Sight.NONE, None)])
    assert (verdict.outcome, verdict.reason) == (Outcome.UNFAMILIAR, "no_cell")


def test_new_cells_are_covered_and_turned_away_as_measured(trust: Trust) -> None:
    new = labelled_outputs(6000, 1)
    verdicts = trust.judge(new.outputs, [ONE] * 6000)
    held = [
        CLASSES[label] in verdict.candidates
        for label, verdict in zip(new.truth, verdicts, strict=True)
    ]
    away = [verdict.reason == "unlike_training" for verdict in verdicts]
    assert np.mean(held) > 0.94
    assert np.mean(away) == pytest.approx(0.05, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_every_prediction_is_whole(trust: Trust, seed: int) -> None:
    rng = np.random.default_rng(seed)
    given_ = outputs(rng.normal(size=(5, 3)) * 5, rng.normal(size=(5, WIDTH)))
    for verdict in trust.judge(given_, [ONE] * 5):
        assert sum(verdict.probabilities) == pytest.approx(1)
        assert verdict.candidates[0] == verdict.label
        assert verdict.confidence == max(verdict.probabilities)
        probabilities = [verdict.probabilities[CLASSES.index(name)] for name in verdict.candidates]
        assert probabilities == sorted(probabilities, reverse=True)
        assert (verdict.outcome == Outcome.ACCEPTED) == (not verdict.reason)
        assert verdict.familiarity is not None
        assert 0 <= verdict.familiarity <= 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=30))
def test_the_farther_the_less_familiar(distances: list[float]) -> None:
    measured = np.sort(np.random.default_rng(0).normal(size=200)).astype(np.float32)
    shares = Familiar(Energy(), measured, 1.0).shares(np.sort(np.array(distances, np.float32)))
    assert (np.diff(shares) <= 0).all()
    assert ((shares >= 0) & (shares <= 1)).all()


def test_strangers_are_those_of_the_least_familiar_twentieth(trust: Trust) -> None:
    assert trust.familiar is not None
    on, beyond = (
        trust.familiar.shares(np.array([value], np.float32))[0]
        for value in (trust.familiar.threshold, np.nextafter(trust.familiar.threshold, np.inf) + 1)
    )
    assert on >= 0.05 >= beyond


def test_a_distance_that_is_no_number_is_a_stranger(trust: Trust) -> None:
    broken = a_cell()
    broken.features[0, 0] = np.nan
    [verdict] = trust.judge(broken, [ONE])
    assert verdict.reason == "unlike_training"


def test_the_hidden_temperature_is_used(trust: Trust) -> None:
    [verdict] = replace(trust, temperature=3.0).judge(a_cell(torn=True), [ONE])
    assert verdict.probabilities == pytest.approx(
        softmax(a_cell(torn=True).logits, 3.0)[0].tolist(), abs=1e-7
    )


def test_a_greater_promise_is_kept_more_often(trust: Trust) -> None:
    new = labelled_outputs(3000, 2)
    held = []
    for level in trust.levels:
        verdicts = trust.at(level.coverage).judge(new.outputs, [ONE] * 3000)
        held.append(
            sum(
                CLASSES[label] in verdict.candidates
                for label, verdict in zip(new.truth, verdicts, strict=True)
            )
        )
    assert held == sorted(held)
    assert held[0] < held[-1]
    assert held[-1] / 3000 > 0.98


def test_a_promise_that_was_not_measured_is_refused(trust: Trust) -> None:
    with pytest.raises(TrustMismatch, match=r"no sets of coverage 0.5; it has 0.9, 0.95"):
        trust.at(0.5)
    with pytest.raises(TrustMismatch, match="it has none"):
        Trust(CLASSES).at(0.95)


def test_what_was_measured_is_told(fitted: tuple[Said, Arrays]) -> None:
    numbers, arrays = fitted
    assert tuple(level["coverage"] for level in numbers["levels"]) == LEVELS
    assert numbers["levels"][1]["pooled"] == [False, False, True]
    assert numbers["validation"]["cells"] == dict.fromkeys(CLASSES, 400)
    assert numbers["validation"]["photographs"] == dict.fromkeys(CLASSES, 200)
    assert len(arrays["distances"]) == STEPS


def test_coverages_that_need_more_cells_are_left_out() -> None:
    numbers, _ = fit_trust(labelled_outputs(72, 0), CLASSES, Energy())
    assert [level["coverage"] for level in numbers["levels"]] == [0.9, 0.95]


def test_a_class_without_validation_cells_is_named() -> None:
    cells = labelled_outputs(600, 0)
    with pytest.raises(TooFewCells, match="no validation cells of basophil"):
        fit_trust(cells, (*CLASSES, "basophil"), Energy())


def test_too_few_cells_for_the_promise_are_refused() -> None:
    with pytest.raises(TooFewCells, match=r"too few to promise 95\.0%"):
        fit_trust(labelled_outputs(9, 0), CLASSES, Energy())


def test_copies_of_a_photograph_and_a_large_source_move_no_threshold() -> None:
    cells = labelled_outputs(600, 0)
    # Of the larger source every cell five times, of the other every cell twice.
    twice = np.concatenate([np.repeat(np.arange(198), 2), np.repeat(np.arange(198, 600), 5)])
    more = LabelledOutputs(
        outputs(cells.outputs.logits[twice], cells.outputs.features[twice]),
        cells.truth[twice],
        [cells.photographs[row] for row in twice],
        [cells.sources[row] for row in twice],
    )
    once, again = (fit_trust(measured_on, CLASSES, Energy())[0] for measured_on in (cells, more))
    assert again["threshold"] == once["threshold"]
    assert again["temperature"] == pytest.approx(once["temperature"])


def test_the_file_gives_back_the_same_and_is_the_same_every_time(
    fitted: tuple[Said, Arrays], trust: Trust, tmp_path: Path
) -> None:
    numbers, arrays = fitted
    write_trust(tmp_path / "trust.npz", arrays)
    write_trust(tmp_path / "again.npz", arrays)
    assert (tmp_path / "trust.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    again = Trust.of(CLASSES, numbers, read_trust(tmp_path / "trust.npz"))
    new = labelled_outputs(50, 3).outputs
    assert again.judge(new, [ONE] * 50) == trust.judge(new, [ONE] * 50)


def test_trust_is_read_from_a_bundle(fitted: tuple[Said, Arrays], tmp_path: Path) -> None:
    numbers, arrays = fitted
    write_trust(tmp_path / "trust.npz", arrays)
    metadata = SimpleNamespace(classes=CLASSES, trust=numbers)
    bundle: Any = SimpleNamespace(path=tmp_path, metadata=metadata)
    assert Trust.load(bundle).temperature == numbers["temperature"]
    metadata.trust = {}
    assert Trust.load(bundle) == Trust(CLASSES)


def test_a_bundle_whose_arrays_are_gone_is_not_believed(
    fitted: tuple[Said, Arrays], tmp_path: Path
) -> None:
    metadata = SimpleNamespace(classes=CLASSES, trust=fitted[0])
    bundle: Any = SimpleNamespace(path=tmp_path, metadata=metadata)
    with pytest.raises(TrustMismatch, match="Fetch the bundle again"):
        Trust.load(bundle)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half an archive"])
def test_a_file_that_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "trust.npz").write_bytes(content)
    with pytest.raises(TrustMismatch, match="can't be read"):
        read_trust(tmp_path / "trust.npz")


def test_an_archive_cut_short_is_refused(fitted: tuple[Said, Arrays], tmp_path: Path) -> None:
    write_trust(tmp_path / "trust.npz", fitted[1])
    whole = (tmp_path / "trust.npz").read_bytes()
    (tmp_path / "trust.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrustMismatch, match="can't be read"):
        read_trust(tmp_path / "trust.npz")


def test_pickled_objects_are_never_unpacked(tmp_path: Path) -> None:
    np.savez(tmp_path / "trust.npz", distances=np.array([{"run": "me"}], object))
    with pytest.raises(TrustMismatch, match="can't be read"):
        read_trust(tmp_path / "trust.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", float("nan")),
        ("temperature", "warm"),
        ("coverage", 0.5),
        ("levels", []),
        ("levels", [{"coverage": 0.95, "limits": [0.5, 0.5], "pooled": [False] * 2}]),
        ("levels", [{"coverage": 0.95, "limits": [0.5, 0.5, 7], "pooled": [False] * 3}]),
        ("levels", [{"coverage": 0.95}]),
        ("levels", 5),
        ("gate", "guess"),
        ("threshold", float("inf")),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    fitted: tuple[Said, Arrays], name: str, value: Any
) -> None:
    numbers, arrays = fitted
    with pytest.raises(TrustMismatch):
        Trust.of(CLASSES, {**numbers, name: value}, arrays)


def test_a_missing_number_is_named(fitted: tuple[Said, Arrays]) -> None:
    numbers, arrays = fitted
    for name in ("temperature", "coverage", "levels", "gate", "threshold"):
        rest = {other: value for other, value in numbers.items() if other != name}
        with pytest.raises(TrustMismatch, match=name):
            Trust.of(CLASSES, rest, arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[:0],
        lambda array: array[::-1],
        lambda array: array.reshape(2, -1),
        lambda array: array.astype(np.int64),
        lambda array: array + np.float32("nan"),
    ],
)
def test_distances_of_another_kind_are_refused(
    fitted: tuple[Said, Arrays], change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    numbers, arrays = fitted
    with pytest.raises(TrustMismatch, match="distances"):
        Trust.of(CLASSES, numbers, {**arrays, "distances": change(arrays["distances"])})


def test_a_network_of_other_classes_is_refused(fitted: tuple[Said, Arrays], trust: Trust) -> None:
    with pytest.raises(TrustMismatch, match="3 limits for 2 classes"):
        Trust.of(CLASSES[:2], *fitted)
    with pytest.raises(TrustMismatch, match="2 classes, not 3"):
        trust.judge(outputs(np.zeros((1, 2)), np.zeros((1, WIDTH))), [ONE])


def test_every_image_needs_its_place(trust: Trust) -> None:
    with pytest.raises(ValueError, match="shorter"):
        trust.judge(labelled_outputs(3, 0).outputs, [ONE] * 2)


def test_no_images_have_no_predictions(trust: Trust) -> None:
    assert trust.judge(outputs(np.empty((0, 3)), np.empty((0, WIDTH))), []) == []
