"""Small files are written whole, for their owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from core import durable


def test_a_file_replaces_the_old_one_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    for text in ("first", "second"):
        durable.write_file(path, text)
        assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    durable.write_file(path, "first")
    with pytest.raises(UnicodeEncodeError):
        durable.write_file(path, "\ud800")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_all_the_way_down(tmp_path: Path) -> None:
    durable.make_folder(tmp_path / "a" / "b" / "c")
    durable.make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
