"""The pages in a real browser, over a system whose every part is real."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect
from pypdf import PdfReader

from contract.jobs import NewJob
from tests.system.browser import drop, needs_chromium, require_fitting, signed_in
from tests.system.conftest import CopyCrops
from tests.system.stack import Stack

NOTICE = "Not for diagnostic use without review by a qualified person"
SECONDS = 60_000

pytestmark = needs_chromium
MakeSlide = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def slide(copy_crops: CopyCrops, tmp_path_factory: pytest.TempPathFactory) -> MakeSlide:
    """Return what makes a folder of forty real crops, from the nth of each class, and a note."""

    def make(called: str, start: int) -> Path:
        folder = copy_crops(tmp_path_factory.mktemp("drop") / called, 10, start)
        (folder / "notes.txt").write_text(f"taken on Monday, {called}")
        return folder

    return make


@pytest.fixture(scope="module")
def crops(slide: MakeSlide) -> Path:
    """The slide that most tests send."""
    return slide("slide 7", 0)


def test_a_dropped_folder_becomes_a_job_with_pages_and_a_pdf(page: Page, crops: Path) -> None:
    drop(page, page.locator("[data-drop]"), crops)
    expect(page.locator("[data-what]")).to_contain_text("40 files")
    expect(page.locator("#name")).to_have_value("slide 7")
    seen = _watch_progress(page)
    page.locator("[data-go]").click()
    page.wait_for_selector('[data-state="finished"]', timeout=SECONDS)

    assert len(seen) > 1 and seen == sorted(seen), seen
    job, main = page.url, page.locator("main")
    expect(main).to_contain_text("All classified cells")
    expect(main).to_contain_text(NOTICE)
    expect(main).to_contain_text("Skipped: slide 7/notes.txt")
    assert "slide 7" in page.title()

    page.locator(".bins a", has_text="Lymphocyte").click()
    expect(page.locator(".tiles img").first).to_be_visible()
    page.locator(".tiles a").first.click()
    page.wait_for_url(re.compile(r"/images/\d+"))
    expect(page.locator("main")).to_contain_text("Lymphocyte")
    expect(page.locator("main")).to_contain_text(NOTICE)
    first = page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_function("first => location.href !== first", arg=first)

    page.goto(job)
    text = "".join(sheet.extract_text() for sheet in _open_pdf(page).pages)
    assert "slide 7" in text and NOTICE in text


def _watch_progress(page: Page) -> list[float]:
    """Note every value that the bar of the upload takes."""
    seen: list[float] = []
    page.expose_function("noteProgress", lambda value: seen.append(value))
    page.evaluate(
        """() => {
          const bar = document.querySelector('[data-sending] progress');
          new MutationObserver(() => noteProgress(bar.value))
            .observe(bar, {attributes: true, attributeFilter: ['value']});
        }"""
    )
    return seen


def _open_pdf(page: Page) -> PdfReader:
    """Order the report on the job's page and return what the browser is sent to."""
    with page.expect_response(_is_pdf, timeout=SECONDS) as opened:
        page.get_by_role("button", name="PDF report").click()
    # The viewer or the download has the first body; the same session asks for it again.
    return PdfReader(io.BytesIO(page.request.get(opened.value.url).body()))


def _is_pdf(response: Response) -> bool:
    return response.headers.get("content-type", "").startswith("application/pdf")


def test_one_image_is_predicted_on_the_home_page(page: Page, crops: Path) -> None:
    file = sorted((crops / "LYMPHOCYTE").iterdir())[0]
    page.locator("#files").set_input_files(file)
    expect(page.locator("[data-go]")).to_have_text("Predict")
    page.locator("[data-go]").click()
    expect(page.locator("[data-verdict-class]")).to_contain_text("Lymphocyte", timeout=10_000)
    expect(page.locator("[data-verdict-state]")).to_contain_text("%")


def test_what_is_not_an_image_is_refused_on_the_home_page(page: Page, crops: Path) -> None:
    page.locator("#files").set_input_files(crops / "notes.txt")
    page.locator("[data-go]").click()
    expect(page.locator("[data-verdict]")).to_contain_text("not an image", timeout=10_000)


def test_an_upload_that_broke_off_goes_on_with_the_missing_files_only(
    page: Page, slide: MakeSlide
) -> None:
    crops, sent = slide("slide 8", 10), []

    def let_some_through(route: Route) -> None:
        sent.append(route.request.url)
        route.continue_() if len(sent) <= 12 else route.abort()

    page.route(re.compile(r"/api/v1/jobs/.*/images/"), let_some_through)
    drop(page, page.locator("[data-drop]"), crops)
    page.locator("[data-go]").click()
    expect(page.locator("[data-figures]")).to_contain_text("no connection", timeout=SECONDS)
    job = page.url
    page.close(run_before_unload=False)

    again = page.context.new_page()
    puts: list[str] = []
    again.on("request", lambda sent: puts.append(sent.url) if sent.method == "PUT" else None)
    again.goto(job)
    # The last files may still be arriving while this page opens: what it says follows them.
    expect(again.locator("main")).to_contain_text("28 announced files have not arrived")
    drop(again, again.locator("[data-drop]"), crops)
    again.wait_for_selector('[data-state="finished"]', timeout=SECONDS)
    # The page that was closed may have had one more under way; none is sent twice.
    assert len({*puts}) == len(puts) and len(puts) in (27, 28)


@pytest.mark.parametrize("narrow", [False, True])
def test_no_page_is_wider_than_its_window(browser: Browser, stack: Stack, narrow: bool) -> None:
    with signed_in(browser, stack.new_link(), narrow=narrow) as page:
        for path in ("/", "/jobs", "/jobs/1", "/images/1", "/account", "/people"):
            answer = page.goto(stack.url + path)
            assert answer is not None and answer.status == 200, path
            require_fitting(page)


def test_nothing_on_the_pages_comes_from_elsewhere(page: Page, stack: Stack) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", "/jobs", "/account", "/people"):
        page.goto(stack.url + path)
    assert [url for url in asked if not url.startswith((stack.url, "blob:", "data:"))] == []


def test_a_job_page_says_why_it_stands_still(page: Page, stack: Stack) -> None:
    job = stack.client().open_job(NewJob(name="open"))
    page.goto(stack.url + job.url)
    note = page.locator("[data-contact]")
    page.route("**/summary", lambda route: route.abort())
    expect(note).to_contain_text("The server is not responding", timeout=SECONDS)
    page.unroute("**/summary")
    expect(note).to_have_count(0, timeout=SECONDS)
    page.context.clear_cookies()
    expect(note).to_contain_text("You were signed out.", timeout=SECONDS)
    note.get_by_text("Sign in again.").click()
    expect(page).to_have_url(re.compile(rf"/sign-in\?next=.*{job.id}$"))


def test_signing_out_ends_the_session(page: Page, stack: Stack) -> None:
    page.get_by_text("Sign out").click()
    page.goto(f"{stack.url}/jobs")
    expect(page.locator("main")).not_to_contain_text("Submit images")
    assert httpx.get(f"{stack.url}/jobs").status_code in {302, 401}
