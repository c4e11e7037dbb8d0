"""Reading ahead of the network, and what bounds its memory."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from PIL import Image

from core.blobs import MemoryBlobs, image_key
from core.errors import StoreAway
from core.jobs import Failure, Work
from ml.bundle import Architecture, Metadata
from ml.decoding import InputShape
from ml.reading import Reading
from tests.worker.conftest import png
from worker.decoding import LARGE_PIXELS, Decoder, ahead, readings
from worker.limits import OutOfTime, time_limited
from worker.logs import quieten

NETWORK = Metadata("tiny", "1", ("a", "b"), InputShape(height=32, width=48), Architecture())


class Busy(MemoryBlobs):
    """A store that notes how many read from it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.05)
        with self._lock:
            self.now -= 1
        return super().get(key)


def keep_image(blobs: MemoryBlobs, data: bytes) -> str:
    """Keep an image; return its hash."""
    sha256 = hashlib.sha256(data).hexdigest()
    blobs.put(image_key(sha256), data)
    return sha256


def read_four(pixels: int) -> Busy:
    blobs = Busy()
    sha256 = keep_image(blobs, png(1))
    read = Decoder(blobs, NETWORK, 10**9)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, [Work(n, sha256, pixels) for n in range(4)]))
    return blobs


def test_small_images_are_read_side_by_side() -> None:
    assert read_four(LARGE_PIXELS).most > 1


def test_large_images_are_read_one_at_a_time() -> None:
    assert read_four(LARGE_PIXELS + 1).most == 1


def test_an_image_is_decoded_to_the_network_s_shape() -> None:
    blobs = MemoryBlobs()
    reading = Decoder(blobs, NETWORK, 10**6)(Work(1, keep_image(blobs, png(1))))
    assert not isinstance(reading, Failure)
    assert reading.pixels.shape == (32, 48, 3)


@pytest.mark.parametrize("data", [b"", b"no image", png(1)[:200]])
def test_what_cannot_be_read_is_a_failure_with_a_sentence(data: bytes) -> None:
    blobs = MemoryBlobs()
    failure = Decoder(blobs, NETWORK, 10**6)(Work(1, keep_image(blobs, data)))
    assert isinstance(failure, Failure)
    assert failure.code and failure.message.endswith(".")


def test_an_image_whose_stored_bytes_are_damaged_says_how_to_heal_it() -> None:
    blobs, data = MemoryBlobs(), png(1)
    sha256 = keep_image(blobs, data)
    blobs.put(image_key(sha256), data[:-1] + bytes([data[-1] ^ 1]))
    failure = Decoder(blobs, NETWORK, 10**6)(Work(1, sha256))
    assert isinstance(failure, Failure)
    assert failure.code == "corrupt_store"
    assert "Send the same file again" in failure.message
    assert not blobs.exists(image_key(sha256))


HUNGRY = """
import hashlib, io
from PIL import Image
from core.blobs import MemoryBlobs, image_key
from core.jobs import Work
from ml.bundle import Bundle, default_bundle_path
from worker import decoding
blobs, out = MemoryBlobs(), io.BytesIO()
Image.new("RGB", (4000, 3000), (200, 150, 190)).save(out, "PNG")
sha256 = hashlib.sha256(out.getvalue()).hexdigest()
blobs.put(image_key(sha256), out.getvalue())
metadata = Bundle.load(default_bundle_path()).metadata
decoder, large = decoding.Decoder(blobs, metadata, 10**9), Work(1, sha256, 4000 * 3000)
print(type(decoder(large)).__name__)
decoding._MOST_MEMORY = 2**20
print(decoder(large).code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits a process's data")
def test_an_image_that_takes_too_much_memory_is_a_failure_with_a_name() -> None:
    """In a process of its own, which has no memory left over that the limit would not count."""
    done = subprocess.run(
        [sys.executable, "-c", HUNGRY], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["Reading", "too_much_memory"]


def test_an_image_over_the_limit_is_a_failure() -> None:
    blobs = MemoryBlobs()
    failure = Decoder(blobs, NETWORK, 100)(Work(1, keep_image(blobs, png(1))))
    assert isinstance(failure, Failure)
    assert failure.code == "too_many_pixels"


def test_the_next_batch_is_read_while_one_is_worked_on() -> None:
    third = threading.Event()

    def read(work: Work) -> int:
        if work.image_id == 2:
            third.set()
        return work.image_id

    with ThreadPoolExecutor(1) as pool:
        batches = ahead(pool, read, [Work(n, "") for n in range(5)], 2)
        first = next(batches)
        assert third.wait(2)
        assert [work.image_id for work, _ in first] == [0, 1]
        assert [[result for _, result in batch] for batch in batches] == [[2, 3], [4]]


def test_no_more_than_one_batch_is_read_ahead() -> None:
    seen: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        batches = ahead(pool, lambda w: seen.append(w.image_id), [Work(n, "") for n in range(9)], 3)
        next(batches)
        time.sleep(0.1)
        assert max(seen) == 5


def test_nothing_to_read_yields_nothing() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert list(ahead(pool, lambda w: w, [], 4)) == []


@pytest.mark.parametrize("cores", [1, 3])
def test_with_one_core_or_several_the_same_is_read(cores: int) -> None:
    blobs = MemoryBlobs()
    a, b, c = (keep_image(blobs, png(seed)) for seed in range(3))
    large = Work(4, a, LARGE_PIXELS + 1)
    work = [Work(1, a), Work(2, b), Work(3, "missing"), large, Work(5, c)]
    decoder = Decoder(blobs, NETWORK, 10**6)
    batches = list(readings(decoder, work, 2, cores))
    assert [[image.image_id for image, _ in batch] for batch in batches] == [[1, 2], [3, 4], [5]]
    read = {image.image_id: reading for batch in batches for image, reading in batch}
    assert isinstance(read[3], Failure)
    assert isinstance(read[1], Reading) and isinstance(read[4], Reading)
    np.testing.assert_array_equal(read[1].pixels, read[4].pixels)


class Alarmed(MemoryBlobs):
    """A store after whose answer, while the image is being decoded, the time is over."""

    def get(self, key: str) -> bytes:
        data = super().get(key)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        return data


@pytest.fixture
def slow() -> tuple[Alarmed, Work]:
    """A store with an image that takes far longer to decode than its alarm does, and the image."""
    out = io.BytesIO()
    Image.new("L", (7000, 7000), 200).save(out, "PNG", compress_level=1)
    blobs = Alarmed()
    return blobs, Work(1, keep_image(blobs, out.getvalue()))


def test_an_image_is_not_called_damaged_because_the_time_is_over(
    slow: tuple[Alarmed, Work],
) -> None:
    done: list[Reading | Failure] = []
    with time_limited("a shard"):
        blobs, work = slow
        done.append(Decoder(blobs, NETWORK, 10**8)(work))
    assert done == []


def test_celery_s_own_limit_passes_the_decoder_too(slow: tuple[Alarmed, Work]) -> None:
    def end(*_: object) -> None:
        raise SoftTimeLimitExceeded

    blobs, work = slow
    before = signal.signal(signal.SIGUSR1, end)
    try:
        with pytest.raises(SoftTimeLimitExceeded):
            Decoder(blobs, NETWORK, 10**8)(work)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("error", [MemoryError, SoftTimeLimitExceeded, OutOfTime])
@pytest.mark.parametrize("cores", [1, 3])
def test_what_is_no_image_s_doing_is_no_image_s_failure(
    error: type[BaseException], cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("PIL.Image.Image.crop", fail)
    blobs = MemoryBlobs()
    work = Work(1, keep_image(blobs, png(1)), 40 * 40)
    with pytest.raises(error):
        list(readings(Decoder(blobs, NETWORK, 10**6), [work], 2, cores))


def test_what_is_written_in_a_file_does_not_reach_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quieten()
    out = io.BytesIO()
    Image.new("RGB", (40, 40)).save(out, "TIFF", tiffinfo={270: "Jane Doe", 305: "Jane Doe"})
    data = bytearray(out.getvalue())
    blobs = MemoryBlobs()
    for offset in range(8, len(data), 3):
        data[offset] ^= 0x55
        Decoder(blobs, NETWORK, 10**6)(Work(1, keep_image(blobs, bytes(data))))
        data[offset] ^= 0x55
    assert "Jane" not in caplog.text
    assert "tifffile" not in caplog.text


class Unmounted(MemoryBlobs):
    """A store that is there until an image's bytes were read."""

    def exists(self, key: str) -> bool:
        raise StoreAway("The image store is not there.")


def test_a_store_that_goes_away_while_an_image_is_read_says_nothing_of_the_image() -> None:
    blobs = Unmounted()
    work = Work(1, keep_image(blobs, png(1)))
    with pytest.raises(StoreAway):
        Decoder(blobs, NETWORK, 10**6)(work)
