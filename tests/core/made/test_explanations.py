"""An explanation's life: asked for, made once for each verdict, asked for again if it failed."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, update

from core.errors import Conflict, LeaseLost
from core.jobs import Entry
from core.made import explanations, making
from core.made.explanations import ExplanationClaim, Findings, Neighbour
from core.queue import EXPLAIN
from core.states import Lane, MakingState
from core.tables import Explanation, Image, Job, Model, Prediction
from tests.core.conftest import VERDICT, Life, sha

FINDINGS = Findings(
    label="lymphocyte",
    other="eosinophil",
    empty=("contrast",),
    nearest=(Neighbour(3, "lymphocyte", "pbc8", 0.91), Neighbour(7, "monocyte", "pbc8", 0.4)),
    of_each_class=(Neighbour(3, "lymphocyte", "pbc8", 0.91),),
    attribution="By somebody.",
)


def _order(life: Life, image_id: int) -> Explanation:
    with life.database.writing() as session:
        return explanations.order(session, session.get_one(Image, image_id))


def _claim(life: Life, explanation_id: int) -> ExplanationClaim | None:
    with life.database.writing() as session:
        return explanations.claim(session, explanation_id, "w:1", 60.0)


def _claimed(life: Life, explanation_id: int) -> ExplanationClaim:
    claim = _claim(life, explanation_id)
    assert claim is not None
    return claim


def _finish(life: Life, claim: ExplanationClaim) -> None:
    with life.database.writing() as session:
        explanations.finish(session, claim, f"explanations/{claim.id}-{claim.fence}", FINDINGS)


def _find(life: Life, image_id: int) -> Explanation | None:
    with life.database.reading() as session:
        return explanations.find(session, session.get_one(Image, image_id))


@pytest.fixture
def image_id(life: Life) -> int:
    """Return an image that was judged."""
    job_id = life.submitted(1)
    life.work_off()
    return life.images(job_id)[0].id


def test_only_what_was_judged_is_explained(life: Life) -> None:
    image = life.images(life.submitted(1))[0]
    with pytest.raises(Conflict, match="until the image is classified"):
        _order(life, image.id)
    assert _find(life, image.id) is None


def test_an_explanation_is_made_by_one_and_then_there_for_all(life: Life, image_id: int) -> None:
    wanted = _order(life, image_id)
    assert wanted.state is MakingState.WAITING
    claim = _claimed(life, wanted.id)
    assert _claim(life, wanted.id) is None
    image = life.images(1)[0]
    assert (claim.image_id, claim.sha256) == (image_id, image.sha256)
    assert (claim.model_digest, claim.label) == (life.digest, VERDICT.label)
    assert claim.other == "eosinophil", "the class that came next, not the next on the list"
    _finish(life, claim)
    ready = _order(life, image_id)
    assert (ready.id, ready.state) == (wanted.id, MakingState.READY)
    assert ready.blob_key == f"explanations/{wanted.id}-1"
    assert Findings.read(ready.findings or {}) == FINDINGS
    assert _claim(life, wanted.id) is None


def test_equal_bytes_share_the_explanation_of_the_first(life: Life) -> None:
    job_id = life.open()
    ids = [image_id for image_id, _ in life.announce(job_id, Entry("a", 1), Entry("b", 1))]
    for one in ids:
        life.receive(one, "the same")
    life.submit(job_id)
    life.work_off()
    first, second = (_order(life, one) for one in ids)
    assert first.id == second.id
    found = _find(life, ids[1])
    assert found is not None and found.id == first.id


def test_the_verdict_of_another_model_has_an_explanation_of_its_own(
    life: Life, image_id: int
) -> None:
    old = _order(life, image_id)
    with life.database.writing() as session:
        session.add(Model(digest="e" * 64, name="next", version="2", classes=["lymphocyte"]))
        session.flush()
        session.add(
            Prediction(
                image_id=image_id,
                model_digest="e" * 64,
                label="lymphocyte",
                confidence=1.0,
                outcome="accepted",
                candidates=["lymphocyte"],
                probabilities=[1.0],
            )
        )
        session.execute(update(Image).values(model_digest="e" * 64))
    assert _find(life, image_id) is None
    new = _order(life, image_id)
    assert new.id != old.id
    assert _claimed(life, new.id).other is None, "a model of one class knows no other"


def test_one_that_failed_is_wanted_anew_when_it_is_asked_for_again(
    life: Life, image_id: int
) -> None:
    wanted = _order(life, image_id)
    zombie = _claimed(life, wanted.id)
    with life.database.writing() as session:
        making.fail(session, zombie, "x" * 1_000)
    failed = _find(life, image_id)
    assert failed is not None
    assert (failed.state, failed.message) == (MakingState.FAILED, "x" * 400)
    again = _order(life, image_id)
    assert (again.id, again.state, again.message) == (wanted.id, MakingState.WAITING, None)
    assert again.attempt == 0
    _finish(life, _claimed(life, wanted.id))
    with pytest.raises(LeaseLost):
        _finish(life, zombie)


def test_a_lost_message_is_rung_again_and_a_lost_worker_made_good(
    life: Life, image_id: int
) -> None:
    wanted = _order(life, image_id)
    life.sweep()
    assert life.queue.rung == [(EXPLAIN, wanted.id, Lane.INTERACTIVE)]
    assert life.sweep().rung == 0
    for _ in range(life.settings.max_attempts):
        _claimed(life, wanted.id)
        with life.database.writing() as session:
            session.execute(update(Explanation).values(lease_until=1.0))
        assert life.sweep().lost == 1
    failed = _find(life, image_id)
    assert failed is not None and failed.state is MakingState.FAILED
    assert failed.message is not None


def test_it_goes_with_its_image(life: Life, image_id: int) -> None:
    _order(life, image_id)
    with life.database.writing() as session:
        session.execute(delete(Job))
    with life.database.reading() as session:
        assert session.scalars(select(Explanation)).all() == []


def test_the_stores_keys_name_the_attempt_and_the_model() -> None:
    assert explanations.picture_key("explanations/7-2", "heat") == "explanations/7-2/heat.png"
    assert explanations.reference_key(sha(1), 4) == f"references/{sha(1)}/4.jpg"
