"""What is sent of a folder or an archive, and why the rest is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.intake import refused_by_name
from lexicon.folders import RULE, SKIPS, leads_outside, skipped_for, steps
from lexicon.formats import SUFFIXES

FATES = {
    "a.png": None,
    "A.JPEG": None,
    "./slide/a.tif": None,
    "slide\\a.bmp": None,
    "IMG_1.HEIC": None,
    "a.jp2": None,
    "scan.svs": None,
    "a.dcm": None,
    "inner.zip": None,
    "./b.tar.gz": None,
    "c.rar": None,
    "": None,
    "./": None,
    "ß.png": None,
    "\udcdf.png": None,
    "\udc95\\.png": None,
    " a.png ": None,
    "a\u200b.png": None,
    "\u200b.png": None,
    "notes.txt": "not_image",
    "png": "not_image",
    "a.png.txt": "not_image",
    ".png": "hidden",
    ".trash/cell.jpg": "hidden",
    "x/.git/config": "hidden",
    ".hidden/inner.zip": "hidden",
    "Thumbs.db": "system",
    "x/desktop.ini": "system",
    ".DS_Store": "system",
    "__MACOSX/x/a.png": "system",
    "x/._a.png": "system",
    ".Trashes/1/a.png": "system",
}


@pytest.mark.parametrize("path", FATES)
def test_a_path_alone_says_whether_a_file_is_sent(path: str) -> None:
    assert skipped_for(path) == FATES[path]


def test_all_that_is_read_is_sent() -> None:
    assert set(SUFFIXES) <= set(RULE["sent"])


@given(st.text(max_size=60))
def test_any_path_has_a_fate(path: str) -> None:
    assert skipped_for(path) in {None, *SKIPS}
    leads_outside(path)
    assert not {"", ".", ".."} & set(steps(path))


@pytest.mark.parametrize("path", ["../a.png", "/a.png", "C:\\a.png", "d/../../e.png", "..\\f.png"])
def test_a_path_that_leads_outside_is_seen(path: str) -> None:
    assert leads_outside(path)


@pytest.mark.parametrize(
    "path", ["", "./a.png", "a..png", "..a.png", "\udc95\\..png", "a/", "12:30.png"]
)
def test_a_path_that_stays_inside_is_not_taken_for_one_that_leads_outside(path: str) -> None:
    assert not leads_outside(path)


def test_archives_are_refused_before_their_bytes_are_asked_for() -> None:
    assert refused_by_name("a.png") is None
    for name in ("a.zip", "A.TGZ", "x/b.tar.gz", "c.7z"):
        refused = refused_by_name(name)
        assert refused is not None and refused.code == "nested"
