"""The pages' scripts in a real browser, where files vanish from the disk before they are sent."""

from __future__ import annotations

import random
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page, Route, expect
from werkzeug.serving import make_server

from core.db import Database
from core.people import accounts, tokens
from core.states import TokenKind
from lexicon.folders import RULE, skipped_for
from tests.lexicon.test_folders import FATES
from tests.system.browser import needs_chromium, running_browser, signed_in
from tests.web.conftest import Api, Png, content, open_job
from tests.web.packing import skipped

A = "a@laboratory.test"

pytestmark = needs_chromium


@pytest.fixture
def server(app: Flask) -> Iterator[str]:
    """The address of the application on a socket."""
    made = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def page(server: str, database: Database) -> Iterator[Page]:
    """A browser that laboratory A is signed in with."""
    with database.writing() as session:
        user = accounts.find_person(session, A)
        link = tokens.issue(session, user, TokenKind.SIGN_IN, "test")
    with (
        running_browser() as browser,
        signed_in(browser, f"{server}/sign-in/{link}") as page,
    ):
        yield page


@pytest.fixture
def files(tmp_path: Path, png: Png) -> list[Path]:
    """Three images on the disk."""
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for shade, file in enumerate(paths):
        file.write_bytes(png(shade))
    return paths


def half_sent(api: Api, files: list[Path]) -> int:
    """Announce files and send none; return the job's id."""
    job = open_job(api)
    lines = [{"name": file.name, "size": file.stat().st_size} for file in files]
    api("POST", f"/jobs/{job}/manifest", json={"files": lines})
    return job


def test_a_file_that_vanished_is_named_and_the_others_go_on(
    page: Page, api: Api, files: list[Path]
) -> None:
    page.locator("#files").set_input_files(files)
    files[1].unlink()
    page.locator("[data-go]").click()
    page.wait_for_url(re.compile(r"/jobs/\d+"))
    expect(page.locator(".problems")).to_contain_text("1.png")
    job = content(api("GET", "/jobs/1"))
    assert (job["state"], job["counts"]["refused"], job["counts"]["waiting"]) == ("queued", 1, 2)


def test_a_file_that_vanished_before_a_job_is_taken_up_again_does_not_hold_it(
    page: Page, server: str, api: Api, files: list[Path]
) -> None:
    job = half_sent(api, files)
    page.goto(f"{server}/jobs/{job}")

    def lose_one(route: Route) -> None:
        files[1].unlink()
        route.continue_()

    page.route("**/manifest", lose_one)
    page.locator("#files").set_input_files(files)
    expect(page.locator(".problems")).to_contain_text("1.png")
    assert content(api("GET", f"/jobs/{job}"))["counts"]["refused"] == 1


def test_files_that_were_not_chosen_again_are_waited_for(
    page: Page, server: str, api: Api, files: list[Path]
) -> None:
    job = half_sent(api, files)
    page.goto(f"{server}/jobs/{job}")
    page.locator("#files").set_input_files(files[:2])
    expect(page.locator("[data-trouble]")).to_contain_text("1 announced files have not arrived")
    assert content(api("GET", f"/jobs/{job}"))["state"] == "receiving"


def test_the_pages_and_the_server_skip_the_same_files(page: Page) -> None:
    noise = random.Random(7)
    letters = "ab.PNGpngztxijd/\\ _~-\u200b\u0301é細\x01"
    paths = ["".join(noise.choices(letters, k=noise.randint(0, 12))) for _ in range(2000)]
    paths += [path + ".png" for path in paths] + [path for path in FATES if path.isprintable()]
    script = """async ([paths, rule]) => {
        const { skippedFor } = await import("/static/files.js");
        return paths.map((path) => skippedFor(path, rule));
    }"""
    assert page.evaluate(script, [paths, RULE]) == [skipped_for(path) for path in paths]


def test_a_folder_is_sent_but_for_what_is_skipped_and_named(
    page: Page, api: Api, files: list[Path]
) -> None:
    folder = files[0].with_name("slide 9")
    for name in ("a.png", "x/b.png", "notes.txt", ".trash/c.png", "Thumbs.db", "inner.zip"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(files[len(name) % 3].read_bytes())
    page.locator("#folder").set_input_files(folder)
    skips = page.locator("[data-skipped]")
    expect(skips).to_contain_text(
        "Skipped, not an image file (by its extension): slide 9/notes.txt."
    )
    expect(skips).to_contain_text("slide 9/.trash/c.png")
    page.locator("[data-go]").click()
    page.wait_for_url(re.compile(r"/jobs/\d+"))
    expect(page.locator(".skipped summary")).to_contain_text("Skipped:")
    (job,) = content(api("GET", "/jobs"))["jobs"]
    assert (job["counts"]["received"], job["counts"]["refused"]) == (3, 1)
    assert skipped(api, job["id"]) == {
        "slide 9/notes.txt": "not_image",
        "slide 9/.trash/c.png": "hidden",
        "slide 9/Thumbs.db": "system",
    }


def packed(files: list[Path], name: str) -> Path:
    """Return a .zip of the files, and a broken image among them, beside them."""
    archive = files[0].with_name(name)
    with zipfile.ZipFile(archive, "w") as out:
        for file in files:
            out.write(file, f"slide/{file.name}")
        out.writestr("slide/broken.png", b"no image")
    return archive


def test_one_archive_becomes_a_job(page: Page, api: Api, files: list[Path]) -> None:
    page.locator("#files").set_input_files(packed(files, "slide 7.zip"))
    expect(page.locator("[data-what]")).to_contain_text("slide 7.zip")
    expect(page.locator("#name")).to_have_value("slide 7")
    expect(page.locator("[data-go]")).to_have_text("Submit the archive")
    page.locator("[data-go]").click()
    expect(page.locator(".problems")).to_contain_text("slide/broken.png")
    job = content(api("GET", "/jobs/1"))
    assert (job["state"], job["counts"]["refused"], job["counts"]["waiting"]) == ("queued", 1, 3)


def test_an_archive_is_dropped_on_a_job_that_receives(
    page: Page, server: str, api: Api, files: list[Path]
) -> None:
    job = half_sent(api, files)
    page.goto(f"{server}/jobs/{job}")
    other = files[0].with_name("slides.rar")
    other.write_bytes(b"Rar!")
    page.locator("#files").set_input_files(other)
    expect(page.locator("[data-trouble]")).to_contain_text("Pack the images as .zip")
    with zipfile.ZipFile(files[0].with_name("all.zip"), "w") as out:
        for file in files:
            out.write(file, file.name)
    page.locator("#files").set_input_files(files[0].with_name("all.zip"))
    expect(page.locator("[data-job]")).to_have_attribute("data-state", "queued")
    assert content(api("GET", f"/jobs/{job}"))["counts"]["received"] == 3


def test_what_can_not_be_sent_as_an_archive_says_what_to_do(page: Page, files: list[Path]) -> None:
    archive = packed(files, "a.zip")
    for chosen, sentence in (
        ([archive, files[0]], "one archive at a time"),
        ([packed(files, "b.7z")], "Pack the images as .zip"),
    ):
        page.locator("#files").set_input_files(chosen)
        expect(page.locator("[data-problem]")).to_contain_text(sentence)
        expect(page.locator("[data-chosen]")).to_be_hidden()


def test_a_damaged_archive_says_so_and_the_job_goes_on_receiving(
    page: Page, api: Api, files: list[Path]
) -> None:
    archive = packed(files, "a.zip")
    archive.write_bytes(archive.read_bytes()[:-30])
    page.locator("#files").set_input_files(archive)
    page.locator("[data-go]").click()
    expect(page.locator("[data-trouble]")).to_contain_text("damaged or ends too early")
    assert content(api("GET", "/jobs/1"))["state"] == "receiving"
