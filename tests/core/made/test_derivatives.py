"""An image's copies: how they are kept, and the wish for those that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from core.blobs import BlobStore, LocalBlobs, MemoryBlobs
from core.errors import BlobMissing
from core.made import derivatives, making
from core.made.derivatives import DerivativeClaim, Derivatives
from core.queue import DERIVE
from core.states import ImageState, Lane, MakingState
from core.tables import Derivative, Image
from tests.core.conftest import Life

COPIES = Derivatives(b"tile", b"the large copy")
KEPT = "ab" * 32


@pytest.fixture(params=["local", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    yield LocalBlobs(tmp_path) if request.param == "local" else MemoryBlobs()


@pytest.fixture
def image(life: Life) -> Image:
    """Return an image that was judged and has no copies."""
    job_id = life.submitted(1)
    life.work_off()
    return life.images(job_id)[0]


def _order(life: Life, image: Image) -> Derivative:
    with life.database.writing() as session:
        return derivatives.order(session, image)


def _claim(life: Life, wanted: Derivative) -> DerivativeClaim | None:
    with life.database.writing() as session:
        return derivatives.claim(session, wanted.id, "worker", 60.0)


def _claimed(life: Life, wanted: Derivative) -> DerivativeClaim:
    claim = _claim(life, wanted)
    assert claim is not None
    return claim


def test_both_copies_are_found_again(blobs: BlobStore) -> None:
    assert not derivatives.exist(blobs, KEPT)
    with pytest.raises(BlobMissing):
        derivatives.read(blobs, KEPT)
    derivatives.keep(blobs, KEPT, COPIES)
    assert derivatives.exist(blobs, KEPT)
    assert derivatives.read(blobs, KEPT) == COPIES


def test_a_small_image_is_kept_once(blobs: BlobStore) -> None:
    derivatives.keep(blobs, KEPT, Derivatives(b"small", b"small"))
    assert blobs.get(derivatives.key(KEPT)).count(b"small") == 1
    assert derivatives.read(blobs, KEPT) == Derivatives(b"small", b"small")


@pytest.mark.parametrize("left", [b"", b"\0" * 5, b"\0" * 30])
def test_copies_that_a_power_cut_damaged_are_missing(blobs: BlobStore, left: bytes) -> None:
    blobs.put(derivatives.key(KEPT), left)
    with pytest.raises(BlobMissing):
        derivatives.read(blobs, KEPT)


def test_copies_are_made_by_one_for_all_that_miss_them(life: Life, image: Image) -> None:
    wanted = _order(life, image)
    assert (_order(life, image).id, wanted.state) == (wanted.id, MakingState.WAITING)
    claim = _claimed(life, wanted)
    assert _claim(life, wanted) is None
    assert (claim.image_id, claim.sha256) == (image.id, image.sha256)
    with life.database.writing() as session:
        derivatives.finish(session, claim)
    with life.database.reading() as session:
        made = derivatives.find(session, image)
    assert made is not None
    assert (made.state, made.blob_key) == (MakingState.READY, derivatives.key(claim.sha256))


def test_copies_that_were_made_and_are_gone_are_made_anew(life: Life, image: Image) -> None:
    claim = _claimed(life, _order(life, image))
    with life.database.writing() as session:
        derivatives.finish(session, claim)
    wanted = _order(life, image)
    assert (wanted.state, wanted.attempt) == (MakingState.WAITING, 0)
    assert _claimed(life, wanted).fence == 2


def test_copies_that_can_t_be_made_are_not_tried_again(life: Life, image: Image) -> None:
    wanted = _order(life, image)
    with life.database.writing() as session:
        making.fail(session, _claimed(life, wanted), "The image data are damaged.")
    again = _order(life, image)
    assert (again.state, again.message) == (MakingState.FAILED, "The image data are damaged.")


def test_the_sweep_rings_for_copies_whose_message_was_lost(life: Life, image: Image) -> None:
    wanted = _order(life, image)
    life.queue.rung.clear()
    life.sweep()
    assert life.queue.rung == [(DERIVE, wanted.id, Lane.INTERACTIVE)]


@pytest.mark.parametrize(
    ("values", "hope"),
    [
        ({"state": ImageState.CLASSIFIED}, True),
        ({"state": ImageState.RECEIVED}, True),
        ({"state": ImageState.FAILED, "reason": "model"}, True),
        ({"state": ImageState.FAILED, "reason": "truncated"}, False),
        ({"state": ImageState.REFUSED, "format": None}, False),
        ({"state": ImageState.EXPECTED, "sha256": None}, False),
    ],
)
def test_there_is_hope_of_a_picture_unless_no_decoder_could_read_it(
    life: Life, image: Image, values: dict[str, object], hope: bool
) -> None:
    with life.database.writing() as session:
        session.execute(update(Image).values(**values))
        assert derivatives.can_be_made(session.get_one(Image, image.id)) is hope


def test_the_wish_goes_with_its_image(life: Life, image: Image) -> None:
    wanted = _order(life, image)
    with life.database.writing() as session:
        session.delete(session.get_one(Image, image.id))
    with life.database.reading() as session:
        assert session.get(Derivative, wanted.id) is None
