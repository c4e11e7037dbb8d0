"""Lengths of time and amounts of bytes as people read them."""

from __future__ import annotations

import pytest

from lexicon.words import amount, duration


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
        (1023, "1023 bytes"),
        (1500, "1.5 kB"),
        (33_554_432, "32 MB"),
        (5e9, "4.7 GB"),
    ],
)
def test_sizes_are_in_the_unit_that_fits(count: float, words: str) -> None:
    assert amount(int(count)) == words
