"""Each odd file is taken, or refused by name with a reason; none fails the server or its job."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from PIL import Image as Picture

from tests.web.conftest import Api, Png, content, open_job, send


def saved(picture: Picture.Image, kind: str, **options: object) -> bytes:
    """Return a picture's bytes in one format."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def drawn(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Picture.Image:
    """Return a plain picture in one mode."""
    return Picture.new(mode, size, 1 if mode in {"1", "P", "L", "I;16"} else None)


def moving(kind: str) -> bytes:
    """Return an animation of two frames."""
    frames = [Picture.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


def turned() -> bytes:
    """Return a JPEG that asks by EXIF to be shown turned by a quarter."""
    exif = Picture.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "Jane Doe"
    return saved(drawn(), "JPEG", exif=exif)


def bomb() -> bytes:
    """Return a PNG of some bytes that claims to be 60,000 pixels wide and high."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), b"IDAT" + b"x" * 50)
    sizes = (struct.pack(">I", len(chunk) - 4) for chunk in chunks)
    sums = (struct.pack(">I", crc32(chunk)) for chunk in chunks)
    parts = zip(sizes, chunks, sums, strict=True)
    return b"\x89PNG\r\n\x1a\n" + b"".join(b"".join(part) for part in parts)


CASES = Path(__file__).parent.parent / "cases" / "images"
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "empty"),
    "header.png": (lambda: saved(drawn(), "PNG")[:20], "not_an_image"),
    "renamed.jpg": (lambda: b"%PDF-1.7 not a picture at all", "not_an_image"),
    "script.png": (lambda: b"<svg onload='alert(1)'></svg>", "not_an_image"),
    "large.bmp": (lambda: saved(drawn(size=(400, 300)), "BMP"), "too_large"),
    "wide.png": (lambda: saved(drawn("1", (2000, 2000)), "PNG"), "too_many_pixels"),
    "bomb.png": (bomb, "too_many_pixels"),
    "tiny.png": (lambda: saved(drawn(size=(4, 4)), "PNG"), "too_small"),
    "moving.gif": (lambda: moving("GIF"), "not_an_image"),
    "moving.webp": (lambda: moving("WEBP"), "animated"),
    "moving.png": (lambda: moving("PNG"), "animated"),
    "pages.tif": (lambda: moving("TIFF"), "animated"),
}
TAKEN: dict[str, Callable[[], bytes]] = {
    "cmyk.jpg": lambda: saved(drawn("CMYK"), "JPEG"),
    "sixteen.png": lambda: saved(drawn("I;16"), "PNG"),
    "sixteen.tif": lambda: saved(drawn("I;16"), "TIFF"),
    "palette.png": lambda: saved(drawn("P"), "PNG"),
    "clear.png": lambda: saved(drawn("RGBA"), "PNG"),
    "turned.jpg": turned,
    "plain.bmp": lambda: saved(drawn(), "BMP"),
    "plain.webp": lambda: saved(drawn(), "WEBP"),
    "wrong_suffix.txt": lambda: saved(drawn(), "PNG"),
    "cut.jpg": lambda: saved(Picture.effect_noise((200, 200), 50), "JPEG")[:-2000],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_by_name_with_a_reason(api: Api, png: Png, name: str) -> None:
    make, code = REFUSED[name]
    job = open_job(api)
    lines = send(api, job, {name: make(), "good.png": png(1)})
    assert [line["state"] for line in lines] == ["refused", "received"]
    answer = content(api("POST", f"/jobs/{job}/submit", json={}))
    assert answer["state"] == "queued"
    (problem,) = content(api("GET", f"/jobs/{job}/problems"))["files"]
    assert (problem["name"], problem["reason"]) == (name, code)
    assert problem["message"].endswith(".")


@pytest.mark.parametrize("name", REFUSED)
def test_what_passes_the_manifest_unhashed_is_refused_at_the_door(api: Api, name: str) -> None:
    """As from a browser without hashes that also misstates the size."""
    make, code = REFUSED[name]
    job = open_job(api)
    manifest = {"files": [{"name": name, "size": 100}]}
    (line,) = content(api("POST", f"/jobs/{job}/manifest", json=manifest))["files"]
    answer = api("PUT", f"/jobs/{job}/images/{line['id']}", data=make())
    assert answer.status_code == 200
    assert content(answer)["reason"] == code


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_taken_whatever_its_kind(api: Api, name: str) -> None:
    (line,) = send(api, open_job(api), {name: TAKEN[name]()})
    assert line["state"] == "received", line


@pytest.mark.parametrize("name", ["heic.heic", "png-ztxt-1.2MB.png", "tif-8b-contig-webp.tif"])
def test_what_microscopes_and_telephones_write_passes_the_door(api: Api, name: str) -> None:
    job = open_job(api)
    (line,) = send(api, job, {name: (CASES / name).read_bytes()})
    assert line["state"] == "received", line
