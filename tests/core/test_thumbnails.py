"""Small copies to look at: of every kind, upright, not clipped, free of metadata."""

from __future__ import annotations

import hashlib
import io
import threading

import pytest
from PIL import Image

from core.blobs import MemoryBlobs, image_key
from core.errors import BlobMissing, Refused
from core.thumbnails import one_large_image, thumbnail

SIZE = (400, 200)


def _kept(blobs: MemoryBlobs, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    blobs.put(image_key(sha256), data)
    return sha256


def _small(image: Image.Image, kind: str = "PNG", side: int = 96, **options: object) -> Image.Image:
    """Return the thumbnail of a picture that was uploaded in a format."""
    blobs, out = MemoryBlobs(), io.BytesIO()
    image.save(out, kind, **options)
    small = Image.open(io.BytesIO(thumbnail(blobs, _kept(blobs, out.getvalue()), side)))
    assert (small.format, small.mode) == ("JPEG", "RGB")
    return small


def _middle(image: Image.Image) -> tuple[int, int, int]:
    pixel = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    return (int(pixel[0]), int(pixel[1]), int(pixel[2]))


def _close(pixel: tuple[int, int, int], to: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 6 for a, b in zip(pixel, to, strict=True))


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "seen"),
    [
        ("RGB", (200, 30, 60), "PNG", (200, 30, 60)),
        ("RGB", (200, 30, 60), "WEBP", (200, 30, 60)),
        ("L", 90, "PNG", (90, 90, 90)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), "TIFF", (255, 0, 0)),
        ("I;16", 32_768, "PNG", (128, 128, 128)),
        ("I;16", 32_768, "TIFF", (128, 128, 128)),
        ("I;16", 65_535, "PNG", (255, 255, 255)),
        ("RGBA", (200, 30, 60, 0), "PNG", (255, 255, 255)),
        ("LA", (90, 255), "PNG", (90, 90, 90)),
    ],
)
def test_each_kind_of_image_is_shown_in_its_colours(
    mode: str, colour: int | tuple[int, ...], kind: str, seen: tuple[int, int, int]
) -> None:
    small = _small(Image.new(mode, SIZE, colour), kind)
    assert small.size == (96, 48)
    assert _close(_middle(small), seen)


def test_a_palette_image_is_averaged_and_not_sampled() -> None:
    stripes = Image.new("P", SIZE)
    stripes.putpalette([0, 0, 0, 255, 255, 255])
    stripes.putdata([x % 2 for _ in range(SIZE[1]) for x in range(SIZE[0])])
    assert all(100 < value < 155 for value in _middle(_small(stripes)))


def test_a_one_bit_image_is_averaged_and_not_sampled() -> None:
    stripes = Image.new("1", SIZE)
    stripes.putdata([255 * (x % 2) for _ in range(SIZE[1]) for x in range(SIZE[0])])
    assert all(100 < value < 155 for value in _middle(_small(stripes)))


def test_a_thumbnail_stands_upright_and_tells_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "Doe, Jane"
    small = _small(Image.new("RGB", SIZE), "JPEG", exif=exif)
    assert small.size == (48, 96)
    assert not small.getexif()


def test_a_small_image_is_not_blown_up() -> None:
    assert _small(Image.new("RGB", (40, 20)), side=192).size == (40, 20)


def test_a_thumbnail_is_made_once() -> None:
    blobs, out = MemoryBlobs(), io.BytesIO()
    Image.new("RGB", SIZE).save(out, "PNG")
    sha256 = _kept(blobs, out.getvalue())
    first = thumbnail(blobs, sha256, 96)
    blobs.delete(image_key(sha256))
    assert thumbnail(blobs, sha256, 96) == first
    with pytest.raises(BlobMissing):
        thumbnail(blobs, sha256, 192)


def test_large_images_are_shrunk_one_by_one_and_small_ones_meanwhile() -> None:
    done: list[Image.Image] = []
    large = Image.new("L", (2001, 2001))
    with one_large_image:
        waiting = threading.Thread(target=lambda: done.append(_small(large)))
        waiting.start()
        assert _small(Image.new("L", SIZE)).size == (96, 48)
        waiting.join(0.3)
        assert not done
    waiting.join(10)
    assert done[0].size == (96, 96)


@pytest.mark.parametrize("damage", [b"not an image", None])
def test_what_cannot_be_shown_is_said(damage: bytes | None) -> None:
    blobs, out = MemoryBlobs(), io.BytesIO()
    Image.effect_noise(SIZE, 50).save(out, "JPEG")
    data = damage or out.getvalue()[: len(out.getvalue()) // 2]
    with pytest.raises(Refused, match="can't be shown") as refused:
        thumbnail(blobs, _kept(blobs, data), 96)
    assert refused.value.code == "truncated"
