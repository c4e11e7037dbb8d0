"""Trust is measured anew on a laboratory's cells if there are enough, and kept if not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.gates import Energy
from ml.adaptation.refitting import Cells
from ml.adaptation.trust import (
    KEPT,
    UNMEASURED,
    Crossed,
    gate_in,
    measured,
    widened,
    without_labels,
)
from ml.answers import Outputs
from ml.bundle import Bundle, Metadata, write_bundle
from ml.trust import TRUST, Trust
from ml.trust.fitting import LabelledOutputs, fit_trust
from ml.trust.judge import write_trust
from ml.trust.unfamiliar import Nearest

CLASSES = ("eosinophil", "lymphocyte", "platelet")
WIDTH = 24


def cells(count: int, seed: int, *, elsewhere: bool = False, classes: int = 3) -> Cells:
    """Cells of their own photographs; another laboratory's lie elsewhere."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % classes
    features = 4 * np.eye(3, WIDTH)[truth] + 0.4 * rng.normal(size=(count, WIDTH))
    features[:, 10] += 4.0 * elsewhere
    logits = np.where(np.eye(3, dtype=bool)[truth], 5.0, 0.0) + 2 * rng.normal(size=(count, 3))
    outputs = Outputs(logits.astype(np.float32), features.astype(np.float32))
    names = tuple(f"{seed}/{number}" for number in range(count))
    return Cells(outputs, truth.astype(np.int64), names)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, shipped: Bundle) -> Bundle:
    """A bundle that judges by 600 cells; its network is of no use."""
    learned, held = cells(300, 0), cells(600, 1)
    gate = Nearest.fit(learned.outputs, learned.truth, learned.photographs)
    outputs = LabelledOutputs(held.outputs, held.truth, held.photographs, [""] * 600)
    numbers, arrays = fit_trust(outputs, CLASSES, gate, few_shot=["platelet"])
    metadata = Metadata(
        "known",
        "1.0.0",
        CLASSES,
        shipped.metadata.shape,
        shipped.metadata.architecture,
        data={"few_shot": ["platelet"]},
        trust=numbers,
    )

    def fill(folder: Path) -> None:
        for name in shipped.metadata.files:
            (folder / name).write_bytes(b"")
        write_trust(folder / TRUST, arrays)

    return write_bundle(tmp_path_factory.mktemp("bundles") / "known", metadata, fill)


def crossed(bundle: Bundle, few: Cells) -> Crossed:
    """Each half measured by the other."""
    gate = gate_in(bundle)
    assert gate is not None
    halves = np.arange(len(few.truth)) // 3 % 2
    distances: NDArray[np.float32] = np.zeros(len(few.truth), np.float32)
    for half in (0, 1):
        judged = few.at(np.flatnonzero(halves == half))
        others = few.at(np.flatnonzero(halves != half))
        distances[halves == half] = widened(gate, others).distance(judged.outputs)
    return Crossed(few.outputs, distances)


def accepted(bundle: Bundle, numbers: Any, arrays: Any, new: Cells) -> float:
    """The share of cells within the threshold."""
    familiar = Trust.of(bundle.metadata.classes, numbers, arrays).familiar
    assert familiar is not None
    return float((familiar.gate.distance(new.outputs) <= familiar.threshold).mean())


def test_a_widened_gate_knows_the_new_cells_and_still_the_old_ones(bundle: Bundle) -> None:
    gate = gate_in(bundle)
    assert gate is not None
    wide = widened(gate, cells(60, 2, elsewhere=True))
    new, old = cells(90, 3, elsewhere=True).outputs, cells(90, 4).outputs
    assert np.median(gate.distance(new)) > 1.4
    assert np.median(wide.distance(new)) < 1.3
    assert np.allclose(wide.distance(old), gate.distance(old), rtol=1e-3)
    assert widened(Energy(), cells(9, 2)) == Energy()


def test_a_cell_does_not_count_its_own_photograph_as_its_like(bundle: Bundle) -> None:
    gate = gate_in(bundle)
    assert isinstance(gate, Nearest)
    few = cells(60, 2, elsewhere=True)
    copies = Cells(few.outputs, few.truth, tuple("one photograph" for _ in few.truth))
    own, apart = widened(gate, copies), widened(gate, few)
    assert isinstance(own, Nearest) and isinstance(apart, Nearest)
    assert own.spreads[-60:].min() > apart.spreads[-60:].max()


def test_trust_is_measured_anew_on_enough_cells(bundle: Bundle) -> None:
    few = cells(90, 2, elsewhere=True)
    gate = gate_in(bundle)
    assert gate is not None
    trusted = measured(bundle, crossed(bundle, few), few, widened(gate, few), np.arange(90), "lab")
    assert trusted.anew
    assert trusted.numbers["note"] == "Measured on cells of lab."
    assert sum(trusted.numbers["validation"]["cells"].values()) == 90
    new = cells(300, 5, elsewhere=True)
    by_old_numbers = accepted(
        bundle, bundle.metadata.trust, {**gate.arrays(), "distances": _any()}, new
    )
    assert by_old_numbers < 0.1
    assert accepted(bundle, trusted.numbers, trusted.arrays, new) > 0.88


def _any() -> NDArray[np.float32]:
    return np.ones(1, np.float32)


def test_classes_that_the_laboratory_has_not_keep_their_limits(bundle: Bundle) -> None:
    few, gate = cells(90, 2, classes=2), gate_in(bundle)
    trusted = measured(bundle, crossed(bundle, few), few, gate, np.arange(90), "lab")
    assert trusted.anew
    old = {entry["coverage"]: entry for entry in bundle.metadata.trust["levels"]}
    for entry in trusted.numbers["levels"]:
        assert entry["limits"][2] == old[entry["coverage"]]["limits"][2]
        assert entry["limits"][0] != old[entry["coverage"]]["limits"][0]


@pytest.mark.parametrize("all_seen", [True, False])
def test_too_few_cells_leave_trust_as_it_was(bundle: Bundle, all_seen: bool) -> None:
    count = 24 if all_seen else 60
    few, gate = cells(count, 2), gate_in(bundle)
    seen = np.arange(count if all_seen else 20)
    trusted = measured(bundle, crossed(bundle, few), few, gate, seen, "lab")
    assert not trusted.anew
    assert trusted.numbers == {**bundle.metadata.trust, "note": KEPT}
    assert trusted.arrays.keys() == {"distances", *gate.arrays()} if gate else False


def test_a_bundle_that_does_not_judge_does_not_begin_to(shipped: Bundle) -> None:
    few = cells(60, 2)
    plain = replace(shipped, metadata=replace(shipped.metadata, trust={}))
    assert gate_in(plain) is None
    trusted = measured(plain, Crossed(few.outputs, None), few, None, np.arange(60), "lab")
    assert (trusted.numbers, trusted.arrays, trusted.anew) == ({}, {}, False)


def test_without_labels_the_gate_alone_is_set_anew(bundle: Bundle) -> None:
    gate = gate_in(bundle)
    strange = np.linspace(5, 6, 200, dtype=np.float32)
    trusted = without_labels(bundle, gate, strange)
    old = dict(bundle.metadata.trust)
    assert (strange <= trusted.numbers["threshold"]).mean() == pytest.approx(0.95, abs=0.01)
    new = {"threshold": trusted.numbers["threshold"], "calibrated": False, "note": UNMEASURED}
    assert trusted.numbers == {**old, **new}
    assert (trusted.arrays["distances"] >= 5).all()
    assert not trusted.anew
    assert not without_labels(bundle, None, strange).numbers
