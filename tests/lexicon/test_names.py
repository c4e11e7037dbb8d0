"""Names from outside are made fit for showing, and stay apart."""

from __future__ import annotations

import unicodedata

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


# Names that differ to the eye: no marks, no steps, letters and accents joined.
_PART = st.from_regex(r"[a-z0-9é日]([a-z0-9é日 _-]{0,120}[a-z0-9é日])?", fullmatch=True)
PLAIN = st.lists(_PART, min_size=1, max_size=6).map("/".join)
# A sign of each kind that acts on others: control, format, half, private, ends of line and text.
ACTING = "\x07\u202e\ud800\ue000\u2028\u2029"
ANY = (
    st.text(max_size=40)
    | st.text(st.sampled_from(ACTING + "a/. "), max_size=9)
    | st.text(st.sampled_from("a./\\ \u202e\n:é"), max_size=400)
    | PLAIN
)


@given(st.lists(PLAIN, min_size=2, max_size=5, unique=True), st.text("xy", max_size=300))
def test_names_that_differ_to_the_eye_stay_different_however_long(
    names: list[str], same: str
) -> None:
    for longer in (
        names,
        [f"{same}a{name}" for name in names],
        [f"{name}a{same}" for name in names],
    ):
        assert len({clean_name(name) for name in longer}) == len(names)


@given(PLAIN)
def test_a_plain_name_that_is_not_too_long_is_left_alone(name: str) -> None:
    if len(name) <= LONGEST_NAME:
        assert clean_name(name) == name
    else:
        assert len(clean_name(name)) == LONGEST_NAME


@given(ANY)
def test_no_character_that_acts_on_its_surroundings_is_left(name: str) -> None:
    for cleaned in (clean_name(name), one_line(name), name_apart(name, "2")):
        kinds = {unicodedata.category(sign) for sign in cleaned}
        assert not kinds & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
        assert cleaned == cleaned.strip()


@given(ANY)
def test_one_line_drops_characters_and_moves_none(text: str) -> None:
    rest = iter(text)
    assert all(sign in rest for sign in one_line(text)), "what is left is in the old order"
    assert one_line(one_line(text)) == one_line(text)
    plain = "".join(sign for sign in text if sign.isalnum())
    assert "".join(sign for sign in one_line(text) if sign.isalnum()) == plain


@given(ANY, st.sets(st.integers(0, 10**8).map(str), min_size=2, max_size=4))
def test_marks_tell_two_files_of_one_name_apart_however_long_it_is(
    name: str, marks: set[str]
) -> None:
    cleaned = clean_name(name)
    apart = {name_apart(cleaned, mark) for mark in marks}
    assert len(apart) == len(marks)
    assert cleaned not in apart
    for one in apart:
        assert 0 < len(one) <= LONGEST_NAME
        assert one == clean_name(one), "it is a name as any other"
        assert one.count("/") == cleaned.count("/") or len(one) == LONGEST_NAME


@given(PLAIN, st.sampled_from([".png", ".TIF", ".tar.gz"]))
def test_a_name_that_is_told_apart_keeps_its_kind(stem: str, suffix: str) -> None:
    assert name_apart(clean_name(stem + suffix), "ab12cd34").endswith(suffix[suffix.rindex(".") :])
