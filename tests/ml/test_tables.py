"""Tables as text: aligned, whole, and with every character as it is."""

from __future__ import annotations

from ml.tables import markdown_table, plain_table


def test_words_stand_to_the_left_and_numbers_to_the_right() -> None:
    text = plain_table([("cats", "7"), ("elephants", "1,200")], ("animal", "images"))
    assert text.splitlines() == ["animal     images", "cats            7", "elephants   1,200"]


def test_without_a_head_there_are_the_rows_alone() -> None:
    assert plain_table([("cats", "7"), ("dogs", "12")]) == "cats   7\ndogs  12"


def test_what_looks_like_markup_stays_and_no_line_is_folded() -> None:
    text = plain_table([("a" * 300, "0.9 [0.8 to 1.0]"), (":cat:", "[bold]")])
    assert text.splitlines()[0] == "a" * 300 + "  0.9 [0.8 to 1.0]"
    assert text.splitlines()[1].split() == [":cat:", "[bold]"]


def test_markdown_has_a_rule_below_its_head() -> None:
    text = markdown_table([("1", ""), ("22", "x")], ("run", "note"))
    assert text.splitlines() == [
        "| run | note |",
        "|-----|------|",
        "| 1   |      |",
        "| 22  | x    |",
    ]
