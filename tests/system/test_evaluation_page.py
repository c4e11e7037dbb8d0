"""The page of an evaluation in a real browser: wide, narrow, dark and on paper."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page
from pypdf import PdfReader

from lexicon.cells import CELL_TYPES
from ml.evaluation.choosing import Choice
from ml.evaluation.evaluate import evaluate
from ml.evaluation.report.files import write_report
from tests.ml.judgements import THREE, a_bundle, accepted, judged, unsure
from tests.system.browser import needs_chromium, open_page

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page about sixty images."""
    out = tmp_path_factory.mktemp("evaluation")
    (out / "cell.png").write_bytes(b"a cell")
    guesses = [accepted(THREE[index % 7 % 3], 0.4 + index / 100) for index in range(59)]
    pairs = [(THREE[index % 3], guess) for index, guess in enumerate(guesses)]
    cells = judged(*pairs, ("basophil", unsure("eosinophil", "basophil")))
    samples = tuple(replace(sample, path=out / "cell.png") for sample in cells.samples)
    cells = replace(cells, samples=samples)
    evaluation = evaluate(a_bundle(out), Choice(samples, "shipped", {}, ()), cells)
    write_report(evaluation, out, {cell.name: cell.colour for cell in CELL_TYPES})
    return (out / "evaluation.html").as_uri()


def ground(page: Page) -> str:
    """The colour behind everything."""
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def letters(page: Page) -> str:
    """The colour of the letters in a picture."""
    script = "getComputedStyle(document.querySelector('figure svg text')).fill"
    return str(page.evaluate(script))


def test_a_narrow_page_scrolls_its_tables_and_not_itself(browser: Browser, address: str) -> None:
    with open_page(browser, narrow=True) as page:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        tables = "[...document.querySelectorAll('.scroll')]"
        assert page.evaluate(f"{tables}.some(each => each.scrollWidth > each.clientWidth)")


def test_the_dark_page_has_dark_ground_and_light_pictures(browser: Browser, address: str) -> None:
    with open_page(browser) as page:
        page.goto(address)
        assert page.locator("figure svg").count() == 2
        assert (ground(page), letters(page)) == ("rgb(255, 255, 255)", "rgb(86, 99, 115)")
    with open_page(browser, dark=True) as page:
        page.goto(address)
        assert (ground(page), letters(page)) == ("rgb(20, 25, 31)", "rgb(154, 167, 181)")


def test_the_page_asks_for_nothing_but_itself(browser: Browser, address: str) -> None:
    with open_page(browser) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address, wait_until="networkidle")
        assert asked == [address]


def test_the_page_prints_on_a_few_sheets_of_a4(browser: Browser, address: str) -> None:
    with open_page(browser) as page:
        page.goto(address)
        reader = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    assert 2 <= len(reader.pages) <= 4
    sheet = reader.pages[0].mediabox
    assert (round(sheet.width), round(sheet.height)) == (595, 842)
    words = "".join(page.extract_text() for page in reader.pages)
    assert "Confusion matrix" in words
    assert "Not for diagnostic use" in words
