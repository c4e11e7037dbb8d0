"""Pictures of real crops in a real browser: they come with the verdict, or by themselves later."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from tests.system.browser import chromium, open_page, sign_in
from tests.system.stack import Stack

SECONDS = 60_000
# Whether every picture near the window is drawn, whatever stands for it.
DRAWN = """() => [...document.querySelectorAll("main img")]
    .every((picture) => !picture.complete || picture.naturalWidth > 0)"""

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on the PATH; CHROMIUM= names one"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system with one worker."""
    up = Stack(tmp_path_factory.mktemp("pictures") / "data", "--workers", "1")
    up.link()
    yield up
    up.stop()


@pytest.fixture(scope="module")
def job(stack: Stack, data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a finished job of twelve real crops."""
    folder = tmp_path_factory.mktemp("crops")
    for file in sorted((data_folder / "bccd4" / "TEST" / "NEUTROPHIL").iterdir())[:12]:
        shutil.copy(file, folder)
    done = stack.run("submit", str(folder), "--wait")
    assert done.returncode == 0, done.stderr
    return f"{stack.url}/jobs/1"


@pytest.fixture
def page(stack: Stack) -> Iterator[Page]:
    """A browser that is signed in; an error in a page's script fails the test."""
    problems: list[str] = []
    with open_page() as opened:
        opened.on("pageerror", lambda error: problems.append(str(error)))
        sign_in(opened, stack.new_link())
        yield opened
    assert problems == []


def pictures(page: Page) -> list[Response]:
    """Return a list that grows by every answer to a request for a picture."""
    answers: list[Response] = []
    page.on("response", lambda one: answers.append(one) if "/thumbnail/" in one.url else None)
    return answers


def test_the_pictures_of_judged_crops_are_there_at_once(page: Page, job: str) -> None:
    answers = pictures(page)
    page.goto(job, wait_until="networkidle")
    expect(page.locator("main img[data-pending]")).to_have_count(0)
    assert page.evaluate(DRAWN)
    assert answers
    assert {one.headers["content-type"] for one in answers} == {"image/jpeg"}
    page.locator(".tiles a").first.click()
    expect(page.locator(".stage img")).to_have_js_property("naturalWidth", 320)


def test_a_picture_that_was_seen_is_not_sent_again(page: Page, job: str) -> None:
    page.goto(job, wait_until="networkidle")
    answers = pictures(page)
    page.reload(wait_until="networkidle")
    assert answers
    assert {one.status for one in answers} == {304}


def test_pictures_that_are_gone_come_back_without_a_reload(
    page: Page, job: str, stack: Stack
) -> None:
    workers = stack.pids("worker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        shutil.rmtree(stack.data / "blobs" / "derivatives")
        page.goto(job)
        page.evaluate("window.stayed = true")
        waiting = page.locator("main img[data-pending]")
        expect(waiting).to_have_count(12)
        expect(waiting.first).not_to_have_js_property("naturalWidth", 0, timeout=SECONDS)
        assert page.evaluate(DRAWN)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    expect(waiting).to_have_count(0, timeout=SECONDS)
    expect(page.locator("main img").last).to_have_js_property("naturalWidth", 320, timeout=SECONDS)
    assert page.evaluate(DRAWN)
    assert page.evaluate("window.stayed")
