"""Every code by which files are refused has a sentence, and every sentence is said somewhere."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from lexicon.refusals import SENTENCES, sentence

ROOT = Path(__file__).parents[2]
# What turns a code into a sentence, by the name it is called by.
SAYING = {"sentence", "refusal", "refused"}


def sources() -> Iterator[ast.AST]:
    """Yield each module of the rooms that refuse files."""
    for room in ("core", "ml", "worker"):
        for file in (ROOT / room).rglob("*.py"):
            yield ast.parse(file.read_text(encoding="utf-8"))


def codes_said() -> set[str]:
    """Return the codes that are written out where something is refused."""
    said: set[str] = set()
    for module in sources():
        for call in ast.walk(module):
            if isinstance(call, ast.Call) and call.args:
                function, first = call.func, call.args[0]
                name = getattr(function, "attr", None) or getattr(function, "id", None)
                if name in SAYING and isinstance(first, ast.Constant):
                    said.add(str(first.value))
    return said


def words_used() -> set[str]:
    """Return every text that stands in these rooms outside docstrings."""
    return {
        node.value
        for module in sources()
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_whoever_refuses_does_so_by_a_code_that_has_a_sentence() -> None:
    said = codes_said()
    assert said <= set(SENTENCES)
    assert {"empty", "corrupt", "unsupported", "not_received"} <= said, "none is overlooked"


def test_no_sentence_is_left_that_nobody_says() -> None:
    assert not set(SENTENCES) - words_used()


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_says_what_is_wrong_and_fits_where_it_is_kept(code: str) -> None:
    said = sentence(code, limit=12.5)
    assert said[0].isupper() and said.endswith(".")
    assert not set(said) & set("{}\n")
    assert len(said) <= 400, "the column of an image's message"
    assert re.fullmatch(r"[a-z_]{1,40}", code), "the column of its reason"


def test_a_limit_is_told_where_there_is_one_as_people_write_it() -> None:
    limited = {
        code
        for code, said in SENTENCES.items()
        if "limit" in {name for _, name, _, _ in string.Formatter().parse(said)}
    }
    assert limited == {"too_large", "too_many_pixels", "too_small", "bomb"}
    for code in limited:
        assert " 32 " in sentence(code, limit=32.0)
        assert " 0.5 " in sentence(code, limit=0.5)


def test_what_can_t_be_read_is_named_if_it_is_known() -> None:
    assert sentence("unsupported").startswith("This kind of image file can't be read.")
    assert sentence("unsupported", what="A TIFF of tiles").startswith("A TIFF of tiles can't")


def test_a_code_that_nobody_knows_is_a_mistake_and_no_empty_sentence() -> None:
    with pytest.raises(KeyError):
        sentence("no_such_code")
