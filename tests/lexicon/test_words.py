"""Lengths of time and amounts of bytes as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexicon.words import amount, counted, duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0.2, "under 1 s"),
        (59.4, "59 s"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (90061, "1 d 1 h"),
    ],
)
def test_durations_name_their_two_largest_units(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1500, "1.5 kB"),
        (33_554_432, "32 MB"),
        (5e9, "4.7 GB"),
    ],
)
def test_sizes_are_in_the_unit_that_fits(count: float, words: str) -> None:
    assert amount(int(count)) == words


SECONDS = {"d": 86400, "h": 3600, "min": 60, "s": 1}
BYTES = {"byte": 1, "bytes": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "under 1 s"),
        (0.999, "under 1 s"),
        (1, "1 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3599.7, "1 h"),
        (3601, "1 h 1 s"),
        (86399.9, "1 d"),
        (86400 + 60, "1 d 1 min"),
        (400 * 86400, "400 d"),
    ],
)
def test_a_duration_at_the_edge_of_a_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@given(st.floats(1, 1e8))
def test_a_duration_in_all_its_units_is_the_duration(seconds: float) -> None:
    numbers, units = words_of(duration(seconds, 4))
    assert sum(n * SECONDS[u] for n, u in zip(numbers, units, strict=True)) == round(seconds)
    assert units == sorted(units, key=list(SECONDS).index), "the largest unit first"
    assert all(numbers), "no unit is named of which there is nothing"
    for number, unit in zip(numbers, units, strict=True):
        assert unit == "d" or number < {"h": 24, "min": 60, "s": 60}[unit]


@given(st.floats(1, 1e8), st.integers(1, 4))
def test_a_duration_in_few_units_is_cut_at_the_last_that_is_shown(
    seconds: float, parts: int
) -> None:
    short, whole = duration(seconds, parts), duration(seconds, 4)
    assert whole == short or whole.startswith(f"{short} ")
    numbers, units = words_of(short)
    assert len(units) <= parts
    said = sum(n * SECONDS[u] for n, u in zip(numbers, units, strict=True))
    assert 0 <= round(seconds) - said < SECONDS[units[-1]]


def words_of(text: str) -> tuple[list[int], list[str]]:
    """Return the numbers and the units of a duration."""
    words = text.split()
    return [int(number) for number in words[::2]], words[1::2]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1024, "1.0 kB"),
        (10 * 1024, "10 kB"),
        (1024**2, "1.0 MB"),
        (1024**3, "1.0 GB"),
        (1024**4, "1.0 TB"),
        (5000 * 1024**4, "5000.0 TB"),
    ],
)
def test_an_amount_at_the_edge_of_a_unit(count: int, words: str) -> None:
    assert amount(count) == words


@given(st.integers(0, 2**60), st.integers(0, 2**60))
def test_an_amount_is_near_what_it_says_and_a_larger_one_says_no_less(one: int, other: int) -> None:
    low, high = sorted((one, other))
    said = []
    for count in (low, high):
        number, unit = amount(count).split()
        said.append(float(number) * BYTES[unit])
        assert said[-1] == pytest.approx(count, rel=0.051)
        assert float(number) >= 1 or unit == "bytes"
    assert said[0] <= said[1]


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (2000, "2,000 images")]
)
def test_one_is_counted_in_the_singular(count: int, words: str) -> None:
    assert counted(count, "image") == words


def test_a_plural_of_its_own_is_given() -> None:
    assert [counted(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]
