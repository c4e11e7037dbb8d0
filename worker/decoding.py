"""Decodes stored images a batch ahead of the network, and keeps the copies that people look at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import cv2

from core.blobs import BlobStore, sound_image
from core.errors import BlobDamaged, BlobMissing
from core.jobs import Failure, Work
from core.memory import give_back, limited
from lexicon import refusals
from ml.bundle import Metadata
from ml.decoding import UnreadableImage, decode
from ml.decoding.refusals import FAULTS
from ml.reading import Reading, see
from worker.copies import keep_copies

# Images beyond this many pixels are decoded one at a time, so that memory stays bounded: 2 million
# take some 20 MB while they are decoded.
LARGE_PIXELS = 2_000_000
# One lock for the whole process, which may do a small job's shard between two batches.
_one_large = threading.Lock()
# A backstop, so that no unforeseen kind of file ends the process. WebP's decoder asks for 550 MB
# and uses less than half of it.
_MOST_MEMORY = 640 * 2**20

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Decoder:
    """Reads one image as a bundle's network wants it; safe to call from several threads.

    It also stores the copies that people look at, while it has the pixels.
    """

    def __init__(self, blobs: BlobStore, metadata: Metadata, max_pixels: int) -> None:
        self._blobs, self._metadata, self._max_pixels = blobs, metadata, max_pixels

    def __call__(self, work: Work) -> Reading | Failure:
        """Return what the network sees of the image, or why it can't be read.

        If the store does not answer, this raises: that says nothing about the image.
        """
        return self.decode(work, self.fetch(work))

    def fetch(self, work: Work) -> bytes | Failure | None:
        """Return the stored bytes of an image; None for a large one, which is fetched later."""
        # An image of unknown size may be large.
        may_be_large = not work.pixels or work.pixels > LARGE_PIXELS
        return None if may_be_large else self._get(work)

    def decode(self, work: Work, data: bytes | Failure | None) -> Reading | Failure:
        """Return what the network sees of the image whose bytes `fetch` returned."""
        large = data is None
        if data is not None:
            # A large image decoded at the same time may take the memory: then try again, alone.
            with suppress(MemoryError):
                return self._read(work, data)
        with _one_large:
            data = self._get(work)
            try:
                with limited(_MOST_MEMORY):
                    return self._read(work, data)
            except MemoryError:
                if not large:
                    raise
                return _failure("too_much_memory")
            finally:
                give_back()

    def _get(self, work: Work) -> bytes | Failure:
        try:
            return sound_image(self._blobs, work.sha256)
        except BlobMissing:
            return _failure("missing")
        except BlobDamaged as error:
            log.error("Image %d: its stored copy is damaged, and was set aside.", work.image_id)
            return Failure("corrupt_store", str(error))

    def _read(self, work: Work, data: bytes | Failure) -> Reading | Failure:
        if isinstance(data, Failure):
            return data
        image = _tried(work, lambda: decode(data, self._max_pixels))
        if isinstance(image, Failure):
            return image
        # Outside `_tried`: a store that fails is no fault of the image.
        keep_copies(self._blobs, work.sha256, image)
        metadata = self._metadata
        return _tried(work, lambda: see(image, metadata.shape, metadata.preprocessing))


def _failure(code: str) -> Failure:
    return Failure(code, refusals.sentence(code))


def _tried(work: Work, step: Callable[[], Result]) -> Result | Failure:
    """Return the result of a step of reading an image, or how the image failed in it."""
    try:
        return step()
    except UnreadableImage as error:
        return Failure(error.code[:40], str(error)[:400])
    except (cv2.error, *FAULTS) as error:
        # No image, whatever it does to a decoder, may fail its whole shard. A lack of memory and
        # the end of the time limit are not the image's fault and are passed on.
        log.warning("Image %d: the decoder raised %s.", work.image_id, type(error).__name__)
        return _failure("damaged")


def readings(
    decoder: Decoder, work: Sequence[Work], size: int, cores: int
) -> Iterator[list[tuple[Work, Reading | Failure]]]:
    """Yield batches of ``size`` in order; the next batch is read while one is worked on.

    With several cores, one thread per core decodes. With one core, a second thread that decoded
    would take turns with the network, which costs a few per cent; so it only fetches a batch's
    bytes, and they are decoded here.
    """
    pool = ThreadPoolExecutor(cores, thread_name_prefix="decode")
    try:
        if cores > 1:
            yield from ahead(pool, decoder, work, size)
            return
        for batch in ahead(pool, decoder.fetch, work, size, together=size):
            yield [(image, decoder.decode(image, data)) for image, data in batch]
    finally:
        # If the work is broken off, reads that have not begun are cancelled.
        pool.shutdown(cancel_futures=True)


def ahead(
    pool: Executor,
    read: Callable[[Work], Result],
    work: Sequence[Work],
    size: int,
    together: int = 1,
) -> Iterator[list[tuple[Work, Result]]]:
    """Yield batches of ``size`` in order; the next batch is read while one is worked on.

    Each thread reads ``together`` images, one after another.
    """

    def read_all(part: Sequence[Work]) -> list[tuple[Work, Result]]:
        return [(image, read(image)) for image in part]

    running: list[Future[list[tuple[Work, Result]]]] = []
    for batch in (*_parts(work, size), ()):
        results = [pair for future in running for pair in future.result()]
        running = [pool.submit(read_all, part) for part in _parts(batch, together)]
        if results:
            yield results


def _parts(work: Sequence[Work], size: int) -> list[Sequence[Work]]:
    return [work[start : start + size] for start in range(0, len(work), size)]
