"""Pictures of real crops in a real browser: they come with the verdict, or by themselves later."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import Page, Response, expect

from benchmarks.rig import frozen
from tests.system.browser import needs_chromium
from tests.system.conftest import CopyCrops
from tests.system.stack import Stack

SECONDS = 60_000
# Whether every picture near the window is drawn, whatever stands for it.
DRAWN = """() => [...document.querySelectorAll("main img")]
    .every((picture) => !picture.complete || picture.naturalWidth > 0)"""

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def job(stack: Stack, copy_crops: CopyCrops, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a finished job of twelve real crops."""
    folder = copy_crops(tmp_path_factory.mktemp("crops"), 12, classes=("NEUTROPHIL",))
    done = stack.run("submit", str(folder), "--wait")
    assert done.returncode == 0, done.stderr
    return f"{stack.url}/jobs/1"


def pictures(page: Page) -> list[Response]:
    """Return a list that grows by every answer to a request for a picture."""
    answers: list[Response] = []
    page.on("response", lambda a: answers.append(a) if "/thumbnail/" in a.url else None)
    return answers


def test_the_pictures_of_judged_crops_are_there_at_once(page: Page, job: str) -> None:
    answers = pictures(page)
    page.goto(job, wait_until="networkidle")
    expect(page.locator("main img[data-pending]")).to_have_count(0)
    assert page.evaluate(DRAWN)
    assert answers
    assert {answer.headers["content-type"] for answer in answers} == {"image/jpeg"}
    page.locator(".tiles a").first.click()
    expect(page.locator(".stage img")).to_have_js_property("naturalWidth", 320)


def test_a_picture_that_was_seen_is_not_sent_again(page: Page, job: str) -> None:
    page.goto(job, wait_until="networkidle")
    answers = pictures(page)
    page.reload(wait_until="networkidle")
    assert answers
    assert {answer.status for answer in answers} == {304}


def test_pictures_that_are_gone_come_back_without_a_reload(
    page: Page, job: str, stack: Stack
) -> None:
    with frozen(*stack.pids("worker")):
        shutil.rmtree(stack.data / "blobs" / "derivatives")
        page.goto(job)
        page.evaluate("window.stayed = true")
        waiting = page.locator("main img[data-pending]")
        expect(waiting).to_have_count(12)
        expect(waiting.first).not_to_have_js_property("naturalWidth", 0, timeout=SECONDS)
        assert page.evaluate(DRAWN)
    expect(waiting).to_have_count(0, timeout=SECONDS)
    expect(page.locator("main img").last).to_have_js_property("naturalWidth", 320, timeout=SECONDS)
    assert page.evaluate(DRAWN)
    assert page.evaluate("window.stayed")
