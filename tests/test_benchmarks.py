"""The sums behind the benchmarks; what they measure is not measured here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import corpora
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


def test_foreign_files_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    cases = Path(__file__).parent / "cases" / "images"
    for name in ("heic.heic", "tif-8b-contig-webp.tif"):
        (tmp_path / name).write_bytes((cases / name).read_bytes())
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    (tmp_path / "broken.tif").write_bytes((cases / "tif-12in16.tif").read_bytes()[:-5000])
    done = CliRunner().invoke(corpora.main, [str(tmp_path)], catch_exceptions=False)
    row = next(line for line in done.output.splitlines() if line.startswith(tmp_path.name[:24]))
    assert row.split()[-6:-2] == ["4", "2", "1", "1"]
    assert "'not_an_image': 1" in done.output
    assert "broken     broken.tif: The file ends before the image does" in done.output
