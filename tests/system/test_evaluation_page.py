"""The page of an evaluation in a real browser: wide, narrow, dark and on paper."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from playwright.sync_api import Page
from pypdf import PdfReader

from lexicon.cells import CELL_TYPES
from ml.evaluation.choosing import Choice
from ml.evaluation.evaluate import evaluate
from ml.evaluation.report.files import write_report
from tests.ml.judgements import THREE, a_bundle, accepted, judged, unsure
from tests.system.browser import chromium, open_page

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on the PATH; CHROMIUM= names one"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page about sixty images."""
    out = tmp_path_factory.mktemp("evaluation")
    (out / "cell.png").write_bytes(b"a cell")
    guesses = [accepted(THREE[number % 7 % 3], 0.4 + number / 100) for number in range(59)]
    pairs = [(THREE[number % 3], guess) for number, guess in enumerate(guesses)]
    cells = judged(*pairs, ("basophil", unsure("eosinophil", "basophil")))
    samples = tuple(replace(sample, path=out / "cell.png") for sample in cells.samples)
    cells = replace(cells, samples=samples)
    found = evaluate(a_bundle(out), Choice(samples, "shipped", {}, ()), cells)
    write_report(found, out, {cell.name: cell.colour for cell in CELL_TYPES})
    return (out / "evaluation.html").as_uri()


def ground(page: Page) -> str:
    """The colour behind everything."""
    found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return found


def letters(page: Page) -> str:
    """The colour of the letters in a picture."""
    script = "getComputedStyle(document.querySelector('figure svg text')).fill"
    found: str = page.evaluate(script)
    return found


def test_a_narrow_page_scrolls_its_tables_and_not_itself(address: str) -> None:
    with open_page(narrow=True) as page:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        tables = "[...document.querySelectorAll('.scroll')]"
        assert page.evaluate(f"{tables}.some(each => each.scrollWidth > each.clientWidth)")


def test_the_dark_page_has_dark_ground_and_light_pictures(address: str) -> None:
    with open_page() as page:
        page.goto(address)
        assert page.locator("figure svg").count() == 2
        assert (ground(page), letters(page)) == ("rgb(255, 255, 255)", "rgb(86, 99, 115)")
    with open_page(dark=True) as page:
        page.goto(address)
        assert (ground(page), letters(page)) == ("rgb(20, 25, 31)", "rgb(154, 167, 181)")


def test_the_page_asks_for_nothing_but_itself(address: str) -> None:
    with open_page() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address, wait_until="networkidle")
        assert asked == [address]


def test_the_page_prints_on_a_few_sheets_of_a4(address: str) -> None:
    with open_page() as page:
        page.goto(address)
        reader = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    assert 2 <= len(reader.pages) <= 4
    sheet = reader.pages[0].mediabox
    assert (round(sheet.width), round(sheet.height)) == (595, 842)
    words = "".join(one.extract_text() for one in reader.pages)
    assert "Confusion matrix" in words
    assert "Not for diagnostic use" in words
