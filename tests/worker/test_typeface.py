"""Any name can be printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.report.typeface import BOLD, PLACEHOLDER, clip, printable, register, width, wrap


@pytest.fixture(autouse=True)
def fonts() -> None:
    register()


@pytest.mark.parametrize("text", ["Émile-Zoë", "Ждановъ", "Ωmega", "3 ≥ 2", "<b>&amp;"])
def test_what_the_letters_have_is_printed_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("text", ["血液", "혈액", "रक्त"])
def test_what_they_lack_becomes_a_placeholder(text: str) -> None:
    assert set(printable(text)) == {PLACEHOLDER}


def test_hebrew_is_turned_to_be_read_from_the_right() -> None:
    assert printable("דם 12.jpg") == "םד 12.jpg"
    assert printable("a דם אדום b") == "a םודא םד b"


def test_marks_that_reorder_text_and_control_characters_are_dropped() -> None:
    assert printable("a\u202egpj.exe\n\x00") == "agpj.exe"


@given(st.text(max_size=300), st.floats(20, 400))
def test_wrapped_lines_fit_and_lose_no_letter(text: str, room: float) -> None:
    shown = printable(text)
    lines = wrap(shown, 8, room)
    assert all(width(line, 8) <= room or len(line) == 1 for line in lines)
    assert "".join("".join(lines).split()) == "".join(shown.split())


@given(st.text(max_size=100), st.floats(20, 400))
def test_a_clipped_line_fits(text: str, room: float) -> None:
    register()
    shown = clip(printable(text), 9, room, BOLD)
    assert width(shown, 9, BOLD) <= room + 1 or len(shown) <= 2


def test_a_long_name_breaks_at_a_good_place() -> None:
    lines = wrap("ward-3_slide-12_cell-0001.jpg", 8, 70)
    assert len(lines) > 1
    assert all(line[-1] in "-_." for line in lines[:-1])
