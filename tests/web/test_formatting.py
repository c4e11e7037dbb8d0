"""Numbers and times as people read them."""

from __future__ import annotations

import datetime as dt

import pytest

from core.db import utcnow
from core.intake import refusal
from core.settings import Settings
from lexicon.cells import CELL_TYPES
from lexicon.words import amount
from tests.web.conftest import Browser
from web.shown.formatting import ago, ink


def test_times_are_relative_with_the_exact_one_on_hover() -> None:
    text = ago(utcnow() - dt.timedelta(minutes=5, seconds=3))
    assert ">5 min ago<" in text
    assert "UTC" in text
    assert "just now" in ago(utcnow())
    assert ">2020-01-02<" in ago(dt.datetime(2020, 1, 2, tzinfo=dt.UTC))
    assert ago(None) == "&ndash;"


def test_the_limit_reads_the_same_before_and_after_a_file_is_refused(
    laboratory: Browser, settings: Settings
) -> None:
    assert f"larger than {amount(2**25)}." in str(refusal("too_large", 2**25 / 2**20))
    assert f"up to {amount(settings.max_file_bytes)} each" in laboratory.get("/").text


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance of a hex colour."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colour: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    low, high = sorted((luminance(colour), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [cell.colour for cell in CELL_TYPES])
def test_codes_read_well_on_their_colours(colour: str) -> None:
    assert contrast(ink(colour), colour) >= 4.5


def test_the_colours_of_words_read_well_in_light_and_dark() -> None:
    import re
    from pathlib import Path

    import web

    style = (Path(web.__file__).parent / "static" / "app.css").read_text(encoding="utf-8")
    light, dark = re.findall(r"\{\s*(--ground:[^}]*)\}", style)
    for block in (light, dark):
        values = dict(re.findall(r"--([\w-]+): (#\w{6});", block))
        for name in ("ink", "quiet", "accent", "needs", "good", "busy", "wrong"):
            for ground in ("ground", "soft"):
                assert contrast(values[name], values[ground]) >= 4.5, (name, ground, values[ground])
        assert contrast(values["on-accent"], values["accent"]) >= 4.5
