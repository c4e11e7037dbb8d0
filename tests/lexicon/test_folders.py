"""What is sent of a folder or an archive, and why the rest is not."""

from __future__ import annotations

from collections.abc import Mapping

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


STEPS = st.sampled_from(
    ["a", "slide", "A.b", " x ", "", ".", "..", ".h", "._m", "__MACOSX", ".Trashes", "Thumbs.db"]
) | st.text("aß.\u200b ", max_size=4)
ENDS = st.sampled_from(
    [
        "a.png",
        "B.JPG",
        "c.tar.gz",
        ".d.png",
        "._e.png",
        "desktop.ini",
        "f",
        "g.txt",
        "h.png ",
        "i.p\u200bng",
    ]
)
PATHS = st.builds(
    lambda folders, sign, end: sign.join([*folders, end]),
    st.lists(STEPS, max_size=4),
    st.sampled_from("/\\"),
    ENDS | STEPS,
)


def fate_by_the_rule(path: str, rule: Mapping[str, object]) -> str | None:
    """Say what becomes of a file as the rule is described, by nothing but what a page is given."""
    sent, files, folders = (rule[name] for name in ("sent", "system_files", "system_folders"))
    assert isinstance(sent, tuple) and isinstance(files, tuple) and isinstance(folders, tuple)
    named = []
    for step in path.replace("\\", "/").split("/"):
        bare = step.strip()
        if bare and bare != "." and bare != "..":
            named.append(bare)
    while named:
        *above, last = named
        # What an operating system leaves, by its own name or that of a folder above it.
        for each in above:
            if each.lower() in folders:
                return "system"
        if last.lower() in files or last[:2] == "._":
            return "system"
        # What is hidden, itself or by a folder above it.
        if "." in {each[0] for each in named}:
            return "hidden"
        # Marks that nobody sees are no part of an extension.
        seen = "".join(sign for sign in last if sign != "\u200b").strip().lower()
        return None if any(seen[-len(end) :] == end for end in sent) else "not_image"
    return None


@given(PATHS)
def test_the_rule_that_pages_are_given_decides_as_the_archive_reader_does(path: str) -> None:
    assert skipped_for(path) == fate_by_the_rule(path, RULE)


@given(PATHS)
def test_a_fate_does_not_depend_on_letters_or_on_the_kind_of_slash(path: str) -> None:
    assert skipped_for(path.upper()) == skipped_for(path.replace("ß", "SS"))
    assert skipped_for(path.replace("\\", "/")) == skipped_for(path)
    assert steps(path.replace("\\", "/")) == steps(path)


@given(PATHS)
def test_what_is_above_can_hide_a_file_and_never_bring_it_back(path: str) -> None:
    fate = skipped_for(path)
    assert skipped_for(f"./{path}") == fate
    if steps(path):
        assert skipped_for(f"ward/{path}") == fate
        assert skipped_for(f".hidden/{path}") == ("system" if fate == "system" else "hidden")
        assert skipped_for(f"__MACOSX/{path}") == "system"


@given(PATHS)
def test_a_path_below_a_folder_leads_outside_only_by_its_own_steps(path: str) -> None:
    parts = path.replace("\\", "/").split("/")
    assert leads_outside(f"ward/{path}") is (".." in parts)
    assert leads_outside(f"/{path}")
