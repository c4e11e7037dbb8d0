"""The table of formats: what a name says of a file, and that no suffix says two things."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexicon.formats import (
    ARCHIVES,
    FORMATS,
    FORMATS_IN_WORDS,
    OTHER_ARCHIVES,
    OTHER_IMAGES,
    SUFFIXES,
    is_archive_name,
    is_image_name,
)

EVERY = (*SUFFIXES, *ARCHIVES, *OTHER_ARCHIVES, *OTHER_IMAGES)


def test_a_suffix_is_listed_once_as_a_dot_and_small_letters() -> None:
    assert len(set(EVERY)) == len(EVERY)
    for suffix in EVERY:
        assert suffix.startswith(".") and suffix == suffix.lower().strip()


def test_no_image_ends_like_an_archive_or_like_another_format() -> None:
    images = (*SUFFIXES, *OTHER_IMAGES)
    assert not any(image.endswith(archive) for image, archive in product(images, ARCHIVES))
    assert not any(image.endswith(other) for image, other in product(images, OTHER_ARCHIVES))
    of = {suffix: one.name for one in FORMATS for suffix in one.suffixes}
    for suffix, other in product(of, of):
        assert not suffix.endswith(other) or of[suffix] == of[other]


@given(st.text(max_size=20), st.sampled_from(EVERY), st.booleans())
def test_a_name_is_judged_by_its_end_in_any_letters(stem: str, suffix: str, large: bool) -> None:
    name = stem + (suffix.upper() if large else suffix)
    assert is_image_name(name) is (suffix in SUFFIXES)
    assert is_archive_name(name) is (suffix in ARCHIVES or suffix in OTHER_ARCHIVES)
    assert not is_image_name(name + "x.txt") and not is_archive_name(name + "x.txt")


@pytest.mark.parametrize("name", ["", "png", "zip", "tar.gz/a", "a.png.part", "a.zip~"])
def test_a_name_that_only_looks_like_one_is_neither(name: str) -> None:
    assert not is_image_name(name) and not is_archive_name(name)


def test_the_words_name_every_format_and_none_twice() -> None:
    for one in FORMATS:
        assert FORMATS_IN_WORDS.replace(" or ", ", ").split(", ").count(one.name) == 1
    assert FORMATS_IN_WORDS.count(" or ") == 1
