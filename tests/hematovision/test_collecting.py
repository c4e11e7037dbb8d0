"""Which files the command line sends of the paths it is given, and under which names."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.uploads import AnnouncedFile
from core.errors import ConfigurationError
from hematovision.collecting import LocalFile, collect
from lexicon.folders import skipped_for

CASES = Path(__file__).parents[1] / "cases"


def fill(folder: Path, *names: str) -> Path:
    """Put a file of its own bytes under each name, and return the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"{folder}/{name}".encode())
    return folder


def names(*paths: Path) -> list[str]:
    """Return the names under which the files of these paths are sent."""
    return [file.name for file in collect(list(paths))[0]]


def test_a_folder_gives_its_images_by_relative_name_and_names_the_rest(tmp_path: Path) -> None:
    fill(tmp_path, "b/2.PNG", "a/1.jpg", "notes.txt", ".DS_Store", "a/._1.jpg", ".trash/cell.jpg")
    files, skips = collect([tmp_path])
    assert [file.name for file in files] == ["a/1.jpg", "b/2.PNG"]
    assert {skip.name: skip.reason for skip in skips} == {
        "notes.txt": "not_image",
        ".DS_Store": "system",
        "a/._1.jpg": "system",
        ".trash/cell.jpg": "hidden",
    }


def test_what_looks_like_an_image_or_is_an_archive_is_left_to_the_door(tmp_path: Path) -> None:
    fill(tmp_path, "IMG_1.HEIC", "scan.jp2", "slide.svs", "more.zip")
    assert names(tmp_path) == ["IMG_1.HEIC", "more.zip", "scan.jp2", "slide.svs"]


def test_a_file_named_by_the_user_is_sent_whatever_it_is_called(tmp_path: Path) -> None:
    fill(tmp_path, "crop", ".cell.png", "Thumbs.db")
    assert names(tmp_path / "crop") == ["crop"]
    files, skips = collect(sorted(tmp_path.iterdir()))
    assert [file.name for file in files] == [".cell.png", "crop"]
    assert [(skip.name, skip.reason) for skip in skips] == [("Thumbs.db", "system")]


def test_where_nothing_is_to_send_the_skipped_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No images were found"):
        collect([tmp_path])
    fill(tmp_path, *(f"{i}.txt" for i in range(7)))
    with pytest.raises(ConfigurationError, match=r"Skipped: 0\.txt, .*, 4\.txt and 2 more\."):
        collect([tmp_path])


def test_a_manifest_line_has_name_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"cell")
    entry = LocalFile(tmp_path / "1.png", "a/1.png").entry()
    expected = hashlib.sha256(b"cell").hexdigest()
    assert entry == AnnouncedFile(name="a/1.png", size=4, sha256=expected)


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    shutil.copytree(CASES / "samename", tmp_path, dirs_exist_ok=True)
    assert names(tmp_path / "A", tmp_path / "B") == ["A/IMG_0001.jpg", "B/IMG_0001.jpg"]
    first, second = tmp_path / "A" / "IMG_0001.jpg", tmp_path / "B" / "IMG_0001.jpg"
    assert names(first, second) == ["A/IMG_0001.jpg", "B/IMG_0001.jpg"]
    assert names(first, tmp_path / "B") == ["B/IMG_0001.jpg", "IMG_0001.jpg"]
    assert names(tmp_path / "A") == ["IMG_0001.jpg"]


def test_folders_of_one_name_take_in_as_much_of_their_paths_as_tells_them_apart(
    tmp_path: Path,
) -> None:
    folders = [fill(tmp_path / where / "slide", "1.png") for where in ("x/ward", "y/ward", "z")]
    assert names(*folders) == ["x/ward/slide/1.png", "y/ward/slide/1.png", "z/slide/1.png"]


def test_names_that_differ_in_what_is_not_shown_are_told_apart(tmp_path: Path) -> None:
    fill(tmp_path, "A/a\u200b.png", "B/a.png")
    assert names(tmp_path / "A" / "a\u200b.png", tmp_path / "B" / "a.png") == [
        "A/a.png",
        "B/a.png",
    ]


def test_two_files_of_one_folder_whose_names_look_alike_are_left_to_the_server(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "A", "a\u200b.png", "a.png")
    assert names(tmp_path / "A") == ["a.png", "a.png"]


def test_a_file_that_is_given_twice_is_sent_once(tmp_path: Path) -> None:
    fill(tmp_path, "A/a.png", "A/sub/b.png")
    folder = tmp_path / "A"
    assert names(folder, folder) == ["A/a.png", "A/sub/b.png"]
    assert names(folder, folder / "sub", folder / "a.png") == ["A/a.png", "A/sub/b.png"]


def test_links_to_folders_pipes_and_unreadable_folders_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "given", "a.png")
    fill(tmp_path / "elsewhere", "b.png")
    (tmp_path / "given" / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "given" / "pipe.png")
    files, skips = collect([tmp_path / "given"])
    assert [file.name for file in files] == ["a.png"]
    assert {skip.name: skip.reason for skip in skips} == {"link": "link", "pipe.png": "special"}


def test_a_folder_that_can_not_be_entered_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "a.png", "locked/b.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    # The tests may run as root, whom no folder's mode keeps out.
    monkeypatch.setattr(os, "scandir", refuse)
    files, skips = collect([tmp_path])
    assert [file.name for file in files] == ["a.png"]
    assert [(skip.name, skip.reason) for skip in skips] == [("locked", "unreadable")]


def test_names_of_an_older_encoding_can_be_sent(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for name in ("ß.png", "Müller-ä.png", "grün.png"):
        with open(os.path.join(folder, name.encode("latin-1")), "wb") as file:  # noqa: PTH118, PTH123
            file.write(name.encode())
    assert names(tmp_path) == ["Müller-ä.png", "grün.png", "ß.png"]
    os.mkdir(os.path.join(folder, "für".encode("latin-1")))  # noqa: PTH102, PTH118
    path = os.path.join(folder, "für/größe.txt".encode("latin-1"))  # noqa: PTH118
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"x")
    assert [skip.name for skip in collect([tmp_path])[1]] == ["für/größe.txt"]


FOLDERS = st.sampled_from(["", "s/", "t/", "s/t/", ".h/", "__MACOSX/", "s/.git/"])
FILES = st.sampled_from(["1.png", "2.JPG", "x.zip", "crop", "notes.txt", ".1.png", "Thumbs.db"])
TREES = st.sets(st.builds("{}{}".format, FOLDERS, FILES), max_size=6)


@given(TREES, TREES)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_each_file_of_some_folders_is_sent_or_named_and_no_two_share_a_name(
    tmp_path: Path, one: set[str], other: set[str]
) -> None:
    with TemporaryDirectory(dir=tmp_path) as place:
        # Both folders are called alike, as those of two cameras are.
        roots = [Path(place) / where / "DCIM" for where in "ab"]
        for root, held in zip(roots, (one, other), strict=True):
            root.mkdir(parents=True)
            fill(root, *held)
        try:
            files, skips = collect(roots)
        except ConfigurationError:
            assert all(skipped_for(name) for name in one | other)
            return
        assert len(files) + len(skips) == len(one) + len(other)
        sent = [file.name for file in files]
        assert len(set(sent)) == len(sent)
        assert sorted(sent) == sent
        for file in files:
            assert file.path.as_posix().endswith(file.name), "a name is the end of its path"
            within = file.path.relative_to(next(r for r in roots if file.path.is_relative_to(r)))
            assert skipped_for(within.as_posix()) is None
            assert file.path.exists()
        assert {skip.reason for skip in skips} <= {"system", "hidden", "not_image"}


@given(TREES)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_files_of_one_folder_are_named_by_their_paths_in_it(
    tmp_path: Path, tree: set[str]
) -> None:
    with TemporaryDirectory(dir=tmp_path) as place:
        root = fill(Path(place), *tree)
        expected = sorted(name for name in tree if skipped_for(name) is None)
        if expected:
            assert names(root) == expected
        else:
            with pytest.raises(ConfigurationError):
                collect([root])


def test_an_archive_is_announced_without_a_hash_since_it_is_refused_unread(tmp_path: Path) -> None:
    fill(tmp_path, "scans.zip")
    entry = LocalFile(tmp_path / "scans.zip", "scans.zip").entry()
    assert entry.sha256 is None
    assert entry.size > 0


def test_a_file_that_is_missing_is_left_to_be_told_when_it_is_sent(tmp_path: Path) -> None:
    files, skips = collect([tmp_path / "gone.png"])
    assert ([file.name for file in files], skips) == (["gone.png"], [])
    with pytest.raises(FileNotFoundError):
        files[0].entry()


def test_a_link_to_a_file_is_sent_as_the_file_it_leads_to(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "cell.png")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "1.png").symlink_to(tmp_path / "elsewhere" / "cell.png")
    (tmp_path / "given" / "2.png").symlink_to(tmp_path / "nowhere.png")
    files, skips = collect([tmp_path / "given"])
    assert ([file.name for file in files], skips) == (["1.png", "2.png"], [])
    assert files[0].entry().size == (tmp_path / "elsewhere" / "cell.png").stat().st_size
