"""Names from outside are made fit for showing, and stay apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexicon.names import LONGEST_NAME, clean_name, name_apart, one_line


@given(st.text(max_size=600))
def test_a_cleaned_name_is_one_short_relative_line(name: str) -> None:
    cleaned = clean_name(name)
    assert 0 < len(cleaned) <= LONGEST_NAME
    assert not cleaned.startswith("/")
    assert not {"", ".", ".."} & set(cleaned.split("/"))
    assert "\\" not in cleaned
    assert len(cleaned.splitlines()) == 1
    assert cleaned == clean_name(cleaned)
    cleaned.encode()


@given(st.text())
def test_a_line_stays_a_line(text: str) -> None:
    cleaned = one_line(text)
    assert len(cleaned.splitlines()) <= 1
    assert not set(cleaned) & set("\x00\x1b\u202e\u2066\u200f\u2028\ufeff")
    cleaned.encode()


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("C:\\crops\\..\\a.png", "C:/crops/a.png"),
        ("/root/a.png", "root/a.png"),
        ("slide 12/лимфоцит 🩸.png", "slide 12/лимфоцит 🩸.png"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("a\nb\tc\x00\u2028d.png", "abcd.png"),
        ("a\udce4.png", "a.png"),
        ("..", "unnamed"),
        (" . ", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_names_are_made_harmless_and_stay_readable(given_name: str, shown: str) -> None:
    assert clean_name(given_name) == shown


def test_letters_and_their_accents_are_joined() -> None:
    assert clean_name("Mu\u0308ller/e\u0301.png") == "Müller/é.png"


def test_long_names_that_differ_in_the_middle_stay_different() -> None:
    names = {clean_name("a" * 200 + middle + "b" * 200 + ".png") for middle in "xyz"}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("name", "apart"),
    [
        ("a.png", "a (2).png"),
        ("x.d/y", "x.d/y (2)"),
        (".png", ".png (2)"),
        ("a.tar.gz", "a.tar (2).gz"),
    ],
)
def test_a_mark_stands_before_the_suffix(name: str, apart: str) -> None:
    assert name_apart(name, "2") == apart


def test_a_long_name_loses_its_middle_and_keeps_both_ends() -> None:
    cleaned = clean_name("first " + "x" * 300 + " last.png")
    assert len(cleaned) == LONGEST_NAME
    assert cleaned.startswith("first ")
    assert cleaned.endswith(" last.png")
