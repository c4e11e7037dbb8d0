"""`hematovision submit` against the application: the same files by every way in, all named."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from werkzeug.serving import make_server

from core.db import Database
from core.people import accounts, tokens
from core.states import TokenKind
from hematovision.cli import main
from tests.web.conftest import Api, Browser, Png, content, open_job
from tests.web.packing import Pack, every_kind, put, skipped, states
from web.wiring import Wiring, attach

CASES = Path(__file__).parents[1] / "cases"
A = "a@laboratory.test"
Submit = Callable[..., Result]


@pytest.fixture
def submit(
    app: Flask, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Submit]:
    """Return what submits paths to the application on a socket, as laboratory A."""
    with database.writing() as session:
        user = accounts.find_person(session, A)
        token = tokens.issue(session, user, TokenKind.API, "test")
    made = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path / "none"))
    where = ["--server", f"http://127.0.0.1:{made.server_port}", "--token", token]

    def run(*paths: Path) -> Result:
        return CliRunner().invoke(main, ["submit", *map(str, paths), *where])

    yield run
    made.shutdown()
    thread.join()
    made.server_close()


def test_files_of_one_name_in_two_folders_become_two_rows_that_differ(
    submit: Submit, api: Api
) -> None:
    result = submit(CASES / "samename" / "A", CASES / "samename" / "B")
    assert result.exit_code == 0, result.output
    assert set(states(api, 1)) == {"A/IMG_0001.jpg", "B/IMG_0001.jpg"}


@every_kind
def test_a_folder_and_an_archive_of_it_hold_the_same_files(
    submit: Submit, api: Api, png: Png, tmp_path: Path, pack: Pack
) -> None:
    names = ("a.png", "x/b.PNG", "notes.txt", ".trash/cell.jpg", "Thumbs.db", "x/._b.PNG")
    files = {name: png(number) for number, name in enumerate(names)}
    files |= {"x/inner.zip": b"PK", "IMG.HEIC": b"no image", "scan.jp2": b"no image either"}
    for name, data in files.items():
        (tmp_path / "slide" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "slide" / name).write_bytes(data)
    result = submit(tmp_path / "slide")
    assert result.exit_code == 0, result.output
    assert "Skipped, not an image file (by its extension): notes.txt." in result.output
    assert "Refused: x/inner.zip: This is an archive. Send it on its own." in result.output
    job = open_job(api)
    put(api, job, pack(files))
    assert skipped(api, job) == skipped(api, 1)
    assert states(api, job) == states(api, 1)
    assert len(skipped(api, job)) + len(states(api, job)) == len(files)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tar-huge-size.tar", "at bad.png. Pack it again and send it again. The 5 files"),
        ("tar-size-minus-2e70.tar", "at bad.png. Pack it again and send it again. The 5 files"),
        ("dotslash.tar", "Refused: slide/inner.zip: This is an archive."),
        ("dotslash.tar", "Skipped, not an image file (by its extension): notes.txt."),
        ("heic-mixed.zip", "Refused: IMG_0001.HEIC:"),
        ("empty-name.zip", "Refused: unnamed: The file is empty."),
    ],
)
def test_an_archive_says_what_became_of_its_files(
    submit: Submit, tmp_path: Path, name: str, sentence: str
) -> None:
    shutil.copy(CASES / "archives" / name, tmp_path)
    assert sentence in submit(tmp_path / name).output


def test_what_was_skipped_stands_on_the_jobs_page(
    submit: Submit, api: Api, png: Png, tmp_path: Path, laboratory: Browser, app: Flask
) -> None:
    wiring: Wiring = app.extensions["hematovision"]
    usual = wiring.settings.model_copy(update={"max_job_files": 1000})
    attach(Wiring(usual, wiring.database, wiring.blobs, wiring.queue), app.extensions)
    folder = tmp_path / "slide"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(1))
    for number in range(120):
        (folder / f"{number:03}.txt").write_bytes(b"x")
    assert submit(folder).exit_code == 0
    page = laboratory.get("/jobs/1").text
    assert "099.txt" in page and "100.txt" not in page
    assert "/api/v1/jobs/1/skipped" in page
    assert len(content(api("GET", "/jobs/1/skipped?size=500"))["files"]) == 120
