"""Archives as other programs make them, and as nobody should: nothing is lost without a word."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from flask import Flask

from core.settings import Settings
from tests.web.conftest import Api, content, open_job
from tests.web.packing import problem, put, skipped, states
from web.wiring import Wiring, attach

CASES = Path(__file__).parents[1] / "cases" / "archives"
PIECES = {
    "bigpax.tar": ["a.png", "b.png", "c.png"],
    "latin1.tar": ["Müller/zelle-ä.png", "ß.png"],
    "sjis-names.zip": [
        "ソ.png",
        "検体/能/細胞1.png",
        "症例十.png",
        "白血球.png",
        "細胞.png",
        "表.png",
    ],
    "slidefolder-with-big-log.zip": sorted(f"c{i}.png" for i in range(20)),
    "span-marker.zip": ["a.png", "b.png"],
    "utf8-noflag.zip": ["Blutzelle-ä.png", "Müller/ö.png"],
}


@pytest.fixture(autouse=True)
def usual_limits(app: Flask, settings: Settings) -> None:
    """Let an archive and its files be as large as in service."""
    wiring: Wiring = app.extensions["hematovision"]
    usual = settings.model_copy(update={"max_file_bytes": 2**25})
    attach(Wiring(usual, wiring.database, wiring.blobs, wiring.queue), app.extensions)


def case(name: str) -> bytes:
    """Return an archive."""
    return (CASES / name).read_bytes()


@pytest.mark.parametrize("name", PIECES)
def test_every_image_of_a_sound_archive_is_taken_under_its_own_name(api: Api, name: str) -> None:
    job = open_job(api)
    answer = content(put(api, job, case(name)))
    assert states(api, job) == dict.fromkeys(PIECES[name], "received")
    assert (answer["accepted"], answer["refused"]) == (len(PIECES[name]), 0)


@pytest.mark.parametrize("name", ["tar-huge-size.tar", "tar-size-minus-2e70.tar"])
def test_a_size_that_can_not_be_ends_the_archive_and_what_came_before_is_kept(
    api: Api, name: str
) -> None:
    job = open_job(api)
    sentence = problem(put(api, job, case(name)))
    assert "damaged or ends too early, at bad.png" in sentence
    assert "The 5 files before this point are kept" in sentence
    assert states(api, job) == {f"good{i}.png": "received" for i in range(5)}


def test_a_file_without_a_name_is_named_and_the_others_are_taken(api: Api) -> None:
    job = open_job(api)
    put(api, job, case("empty-name.zip"))
    assert states(api, job) == {"a.png": "received", "b.png": "received", "unnamed": "empty"}


def test_archives_within_are_named_whatever_their_path_begins_with(api: Api) -> None:
    job = open_job(api)
    put(api, job, case("dotslash.tar"))
    assert states(api, job) == {
        "slide/cell1.png": "received",
        "slide/inner.zip": "nested",
        "inner2.tar.gz": "nested",
    }
    assert skipped(api, job) == {"notes.txt": "not_image"}


def test_names_that_are_cut_stay_as_many_as_there_are_files(api: Api) -> None:
    job = open_job(api)
    assert content(put(api, job, case("longmiddle.tar")))["accepted"] == 4
    assert len(states(api, job)) == 4
    counts = content(api("POST", f"/jobs/{job}/submit", json={}))["counts"]
    assert counts["received"] == 4


def test_images_of_kinds_that_are_not_read_are_no_files_that_are_skipped(api: Api) -> None:
    job = open_job(api)
    answer = content(put(api, job, case("heic-mixed.zip")))
    assert answer["skipped"] == 0
    assert set(states(api, job)) == {"IMG_0001.HEIC", "a.png"}


@pytest.mark.parametrize("path", sorted(CASES.iterdir()), ids=lambda path: str(path.name))
def test_accepted_refused_and_skipped_are_all_there_is(api: Api, path: Path) -> None:
    job = open_job(api)
    answer = put(api, job, path.read_bytes())
    if answer.status_code == 200:
        counted = content(answer)
        assert counted["accepted"] + counted["refused"] == len(states(api, job))
        assert counted["skipped"] == len(skipped(api, job))
        assert sum(counted[fate] for fate in ("accepted", "refused", "skipped")) == _files_in(path)


def _files_in(path: Path) -> int:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return len(archive.infolist())
    with tarfile.open(path) as archive:
        return sum(not member.isdir() for member in archive)
