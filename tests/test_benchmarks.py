"""The sums behind the benchmarks; what they measure is not measured here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.limit import flop
from benchmarks.table import Row, row_of, write
from benchmarks.waiting import percentile
from ml.bundle import Bundle, default_bundle_path


def test_a_look_costs_what_the_network_s_authors_say() -> None:
    """MobileNetV2 takes 300 million multiply-adds at 224 pixels (Sandler et al., CVPR 2018)."""
    bundle = Bundle.load(default_bundle_path())
    side = bundle.metadata.shape.width
    published = 2 * 300e6 * (side / 224) ** 2
    assert flop(bundle) == pytest.approx(published, rel=0.05)


def test_a_row_is_ratios_pair_by_pair() -> None:
    row = row_of("ours", "theirs", [10.0, 30.0, 20.0], [5.0, 10.0, 20.0], "≥ 1")
    assert row.ratios == (2.0, 3.0, 1.0)
    assert row.median == 2.0
    assert row.figure == "20 images/s"


def test_what_was_measured_is_written_with_the_machine(tmp_path: Path) -> None:
    write([Row("ours", "theirs", (0.5, 1.5, 1.0), "fine")], tmp_path)
    document = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    assert document["rows"][0]["median"] == 1.0
    assert document["machine"]["cores"] >= 1
    assert (tmp_path / "benchmarks.png").stat().st_size > 1000


def test_percentiles() -> None:
    assert percentile(list(range(101)), 95) == pytest.approx(95)
