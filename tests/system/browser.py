"""A real Chromium for the tests of the pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, ViewportSize, sync_playwright

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


@contextmanager
def open_page(
    *, dark: bool = False, narrow: bool = False, downloads: Path | None = None
) -> Iterator[Page]:
    """Yield a page of a fresh profile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=list(_FLAGS), downloads_path=downloads
        )
        context = browser.new_context(
            viewport=NARROW if narrow else WIDE, color_scheme="dark" if dark else "light"
        )
        yield context.new_page()
        browser.close()


def sign_in(page: Page, link: str) -> None:
    """Open a sign-in link, and wait until its page has signed in by itself."""
    page.goto(link)
    page.wait_for_url(lambda url: "/sign-in" not in url)


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
