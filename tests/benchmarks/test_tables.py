"""What benchmarks print: ratios, shares of the ideal, and percentiles, in the right column."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import scaling, table
from benchmarks.scaling import Point
from benchmarks.table import Row, row_of
from benchmarks.waiting import percentile

SPEEDS = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=9)


@given(SPEEDS)
def test_a_thing_against_itself_is_one_and_against_half_of_itself_two(speeds: list[float]) -> None:
    assert row_of("a", "a", speeds, speeds).ratios == (1.0,) * len(speeds)
    halves = [speed / 2 for speed in speeds]
    assert row_of("a", "b", speeds, halves).median == 2.0
    assert row_of("b", "a", halves, speeds).median == 0.5


@given(SPEEDS, st.randoms(use_true_random=False))
def test_a_row_s_median_does_not_depend_on_the_order_of_its_pairs(
    speeds: list[float], rng: object
) -> None:
    pairs = [(speed, 3.0) for speed in speeds]
    rng.shuffle(pairs)  # type: ignore[attr-defined]
    ours, theirs = zip(*pairs, strict=True)
    row = row_of("a", "b", ours, theirs)
    assert row.median == pytest.approx(statistics.median(speeds) / 3.0)
    assert row.figure == f"{statistics.median(speeds):,.0f} images/s"


def test_speeds_that_are_no_pairs_are_an_error() -> None:
    with pytest.raises(ValueError):
        row_of("a", "b", [1.0, 2.0], [1.0])


def words(out: str, first: str) -> list[str]:
    """Return the cells of the printed line that begins with a word."""
    return next(line.split() for line in out.splitlines() if line.strip().startswith(first))


def test_a_printed_row_shows_the_median_and_both_ends(capsys: pytest.CaptureFixture[str]) -> None:
    table.show([Row("ours", "theirs", (3.0, 0.5, 1.25, 9.0), "7 s", "≥ 1")])
    printed = words(capsys.readouterr().out, "ours")
    assert printed == ["ours", "theirs", "2.12", "0.5", "9", "4", "≥", "1", "7", "s"]


def test_of_the_ideal_is_the_share_of_as_many_times_one_worker_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    points = [
        Point(1, 100.0, {}),
        Point(4, 300.0, {"redis": 0.25, "postgresql": 1.5}),
        Point(16, 1_600.0, {}),
    ]
    scaling.show(points, 100.0)
    out = capsys.readouterr().out
    assert words(out, "1 ") == ["1", "100", "1.00"]
    assert words(out, "4 ")[:3] == ["4", "300", "0.75"]
    assert "postgresql 1.50, redis 0.25" in out
    assert words(out, "16") == ["16", "1,600", "1.00"]


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=60), st.integers(1, 98))
def test_a_percentile_lies_among_the_values_and_grows(values: list[float], percent: int) -> None:
    low, high = percentile(values, percent), percentile(values, percent + 1)
    assert min(values) - 1e-6 <= low <= high + 1e-6 <= max(values) + 2e-6
    assert percentile(values, 50) == pytest.approx(statistics.median(values))
