"""Outcomes on the pages in a real browser: the box on the cell, the patterns, the order."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image as Picture
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select
from werkzeug.serving import make_server

import migrations
from core import jobs, registry
from core.blobs import MemoryBlobs
from core.db import Database
from core.installation import Installation
from core.intake import Limits, accept
from core.jobs import Entry, Failure
from core.people import accounts, tokens
from core.queue import MemoryQueue
from core.registry import BundleFacts
from core.settings import Settings
from core.states import TokenKind
from core.tables import Shard
from lexicon.outcomes import Outcome
from lexicon.verdicts import Box, Verdict
from ml.decoding import decode
from tests.system.browser import needs_chromium, require_fitting, signed_in
from tests.system.stack import free_port
from web import create_app
from worker.copies import keep_copies

CLASSES = ("eosinophil", "lymphocyte", "monocyte", "neutrophil")
DIGEST = "d" * 64
BOX = Box(0.25, 0.1, 0.75, 0.4)
DOUBT = Verdict(
    label="eosinophil",
    confidence=0.55,
    outcome=Outcome.UNCERTAIN,
    probabilities=(0.55, 0.01, 0.01, 0.43),
    candidates=("eosinophil", "neutrophil"),
    reason="between_classes",
    familiarity=0.62,
    box=BOX,
)
STRANGE = Verdict(
    "monocyte", 0.7, Outcome.UNFAMILIAR, (0.1, 0.1, 0.7, 0.1), ("monocyte",), "no_cell", 0.0
)
SURE = Verdict(
    "neutrophil", 0.9, Outcome.ACCEPTED, (0.05, 0.03, 0.02, 0.9), ("neutrophil",), "", 0.4, BOX
)
WIDE, TURNED = 1, 2

pytestmark = needs_chromium


def picture(shade: int, orientation: int = 1) -> bytes:
    """A wide JPEG; a camera that was turned says so in its EXIF data."""
    out, exif = io.BytesIO(), Picture.Exif()
    exif[0x0112] = orientation
    Picture.new("RGB", (200, 100), (shade, 90, 120)).save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Database]]:
    """The pages over a job of six images: two in doubt, one of them turned, one strange."""
    port = free_port()
    settings = Settings(
        data=tmp_path_factory.mktemp("pages"), secret_key="s" * 40, redis_url="memory://", port=port
    )
    migrations.upgrade(settings.database)
    database, blobs = Database(settings.database), MemoryBlobs()
    with database.writing() as session:
        accounts.ensure_roles(session)
        accounts.first_administrator(session, "admin@localhost")
        facts = BundleFacts(DIGEST, "wbc4", "1", CLASSES, {}, {"trust": {"t": 1}})
        registry.start_with(session, facts)
    _submit(settings, database, blobs)
    _judge(database, [DOUBT, DOUBT, STRANGE, SURE, SURE, SURE])
    app = create_app(Installation(settings, database, blobs, MemoryQueue()))
    server = make_server("127.0.0.1", port, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{port}", database
    server.shutdown()
    server.server_close()
    database.dispose()


def _submit(settings: Settings, database: Database, blobs: MemoryBlobs) -> None:
    pictures = [picture(0), picture(20, orientation=6), *(picture(60 + 40 * i) for i in range(4))]
    limits = Limits(settings.max_file_bytes, settings.max_pixels)
    with database.writing() as session:
        job = jobs.create(session, accounts.find_person(session, "admin@localhost").id, "Slide 7")
        entries = [Entry(f"{i}.jpg", len(data)) for i, data in enumerate(pictures)]
        for (image, _), data in zip(
            jobs.announce(session, job, entries, 100), pictures, strict=True
        ):
            accepted = accept(io.BytesIO(data), blobs, limits)
            jobs.receive(session, job, image, accepted)
            keep_copies(blobs, accepted.sha256, decode(data))
        jobs.submit(session, job, settings, without_missing=False)


def _judge(database: Database, verdicts: list[Verdict]) -> None:
    with database.writing() as session:
        claim = jobs.claim(session, session.scalars(select(Shard.id)).one(), "worker", 60)
        assert claim is not None
        results: dict[int, Verdict | Failure] = {
            work.image_id: verdict for work, verdict in zip(claim.work, verdicts, strict=True)
        }
        jobs.record(session, claim, DIGEST, results)
    with database.writing() as session:
        jobs.settle(session, claim.job_id)


@pytest.fixture(params=["wide", "narrow and dark"])
def page(
    request: pytest.FixtureRequest, browser: Browser, served: tuple[str, Database]
) -> Iterator[Page]:
    """A page on which the administrator is signed in."""
    url, database = served
    odd = request.param != "wide"
    with database.writing() as session:
        user = accounts.find_person(session, "admin@localhost")
        secret = tokens.issue(session, user, TokenKind.SIGN_IN, "test")
    with signed_in(browser, f"{url}/sign-in/{secret}", narrow=odd, dark=odd) as page:
        yield page


def _shown(page: Page) -> tuple[dict[str, float], dict[str, float]]:
    """Return where the picture's pixels and the box are, in pixels of the page."""
    whole: dict[str, float] = page.evaluate(
        """() => {
          const img = document.querySelector("[data-framed] img"), r = img.getBoundingClientRect();
          const scale = Math.min(r.width / img.naturalWidth, r.height / img.naturalHeight);
          const [width, height] = [img.naturalWidth * scale, img.naturalHeight * scale];
          return {x: r.x + (r.width - width) / 2, y: r.y + (r.height - height) / 2, width, height};
        }"""
    )
    box = page.locator(".box .halo").bounding_box()
    assert box is not None
    return whole, {name: box[name] for name in ("x", "y", "width", "height")}


@pytest.mark.parametrize("image", [WIDE, TURNED])
def test_the_box_lies_on_the_picture_where_the_cell_was_found(
    page: Page, served: tuple[str, Database], image: int
) -> None:
    page.goto(f"{served[0]}/images/{image}", wait_until="networkidle")
    whole, box = _shown(page)
    left, top, right, bottom = BOX
    assert whole["width"] > 200
    assert (whole["width"] > whole["height"]) == (image == WIDE)
    # The line's own width counts into the bounding box on some browsers.
    assert box["x"] == pytest.approx(whole["x"] + left * whole["width"], abs=3)
    assert box["y"] == pytest.approx(whole["y"] + top * whole["height"], abs=3)
    assert box["width"] == pytest.approx((right - left) * whole["width"], abs=5)
    assert box["height"] == pytest.approx((bottom - top) * whole["height"], abs=5)


def test_a_box_that_is_hidden_stays_hidden_on_the_next_image(
    page: Page, served: tuple[str, Database]
) -> None:
    page.goto(f"{served[0]}/images/{WIDE}")
    expect(page.locator("[data-box]")).to_be_visible()
    page.locator("[data-show-box]").uncheck()
    expect(page.locator("[data-box]")).to_be_hidden()
    page.goto(f"{served[0]}/images/{TURNED}")
    expect(page.locator("[data-box]")).to_be_hidden()
    page.locator("[data-show-box]").check()
    expect(page.locator("[data-box]")).to_be_visible()


def test_what_is_to_be_checked_comes_first_without_loading_the_page_anew(
    page: Page, served: tuple[str, Database]
) -> None:
    page.goto(f"{served[0]}/jobs/1")
    page.locator(".sort a", has_text="To check first").click()
    expect(page.locator(".tiles a").first).to_have_class("unfamiliar")
    assert page.locator(".tiles a.uncertain").count() == 2
    page.locator(".tiles a.uncertain").first.click()
    page.wait_for_url(re.compile(r"/images/\d+\?order=check"))
    expect(page.locator("h1")).to_have_text(re.compile("Uncertain: eosinophil or neutrophil"))


def test_no_page_with_outcomes_is_wider_than_its_window(
    page: Page, served: tuple[str, Database]
) -> None:
    for path in ("/jobs", "/jobs/1", "/jobs/1?order=check", "/images/1", "/images/3", "/images/4"):
        page.goto(served[0] + path)
        require_fitting(page)


def test_one_uncertain_image_says_so_where_it_was_dropped(
    page: Page, served: tuple[str, Database], tmp_path: Path
) -> None:
    """No worker runs here: the verdict is recorded while the page waits for it."""
    (tmp_path / "cell.jpg").write_bytes(picture(99))
    page.goto(served[0])
    page.locator("#files").set_input_files(tmp_path / "cell.jpg")
    page.locator("[data-go]").click()
    expect(page.locator("[data-verdict-state]")).to_contain_text("Classifying")
    _judge_last(served[1])
    expect(page.locator("[data-verdict-class]")).to_have_text("Uncertain: eosinophil or neutrophil")
    expect(page.locator("[data-verdict-state]")).to_contain_text(
        "Best guess: EO Eosinophil, 55.0 %"
    )


def _judge_last(database: Database) -> None:
    with database.writing() as session:
        shard_id = session.scalars(select(Shard.id).order_by(Shard.id.desc()).limit(1)).one()
        claim = jobs.claim(session, shard_id, "worker", 60)
        assert claim is not None
        jobs.record(session, claim, DIGEST, {claim.work[0].image_id: DOUBT})
    with database.writing() as session:
        jobs.settle(session, claim.job_id)
