"""A real Chromium for the tests of the pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, sync_playwright

# Chromium must not talk to its maker's servers from a closed network.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE: ViewportSize = {"width": 1440, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}


def chromium() -> str | None:
    """Return where Chromium is, or None."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")


needs_chromium = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on the PATH; CHROMIUM= names one"
)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser until the body ends. No event loop can run in this thread meanwhile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(_FLAGS))
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Browser, *, dark: bool = False, narrow: bool = False) -> Iterator[Page]:
    """Yield a page of a fresh profile."""
    context = browser.new_context(
        viewport=NARROW if narrow else WIDE, color_scheme="dark" if dark else "light"
    )
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def signed_in(
    browser: Browser, link: str, *, dark: bool = False, narrow: bool = False
) -> Iterator[Page]:
    """Yield a page that a link has signed in; an error in a page's script fails the test."""
    problems: list[str] = []
    with open_page(browser, dark=dark, narrow=narrow) as page:
        page.on("pageerror", lambda error: problems.append(str(error)))
        sign_in(page, link)
        yield page
    assert problems == []


def sign_in(page: Page, link: str) -> None:
    """Open a sign-in link, and wait until its page has signed in by itself."""
    page.goto(link)
    page.wait_for_url(lambda url: "/sign-in" not in url)


def require_fitting(page: Page) -> None:
    """Fail if a page is wider than its window."""
    wider = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
    assert wider <= 0, f"{page.url} is {wider} px wider than its window"


def drop(page: Page, target: Locator, *paths: Path) -> None:
    """Drop files or folders on ``target`` as the desktop would.

    A page's own script can't make a folder to drop, so the browser itself is told to.
    """
    box = target.bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send(
            "Input.dispatchDragEvent",
            {
                "type": kind,
                "x": box["x"] + box["width"] / 2,
                "y": box["y"] + box["height"] / 2,
                "data": data,
            },
        )
