"""The differential: accepted cells by class with intervals, and apart from them what waits."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from core import jobs
from core.tables import Model, Prediction
from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from tests.core.conftest import DOUBT, STRANGE, Life


def _judged(life: Life, *verdicts: Verdict) -> int:
    """Return a job whose images were judged so."""
    job_id = life.submitted(len(verdicts))
    left = iter(verdicts)
    for shard_id in life.dispatch():
        claim = life.claimed(shard_id)
        with life.database.writing() as session:
            results: dict[int, Verdict | jobs.Failure] = {
                work.image_id: next(left) for work in claim.work
            }
            jobs.record(session, claim, life.digest, results)
        life.settle(job_id)
    return job_id


def _accepted(label: str) -> Verdict:
    return Verdict(label, 0.99, Outcome.ACCEPTED, (0.99, 0.0, 0.0, 0.01))


ACCEPTED = _accepted("eosinophil")


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [  # Wilson's 95 % intervals, as R's prop.test(x, n, correct = FALSE) gives them.
        (5, 10, 0.2366, 0.7634),
        (1, 10, 0.0179, 0.4042),
        (10, 10, 0.7225, 1.0),
    ],
)
def test_a_share_comes_with_wilsons_interval(
    life: Life, count: int, total: int, low: float, high: float
) -> None:
    labels = ["monocyte"] * count + ["basophil"] * (total - count)
    job_id = _judged(life, *map(_accepted, labels))
    with life.database.reading() as session:
        by_name = {counted.name: counted for counted in jobs.differential(session, job_id).classes}
    assert by_name["monocyte"].share == count / total
    assert by_name["monocyte"].low == pytest.approx(low, abs=1e-4)
    assert by_name["monocyte"].high == pytest.approx(high, abs=1e-4)


def test_classes_come_in_display_order_and_strange_ones_last(life: Life) -> None:
    labels = ("smudge", "basophil", "neutrophil", "lymphocyte")
    job_id = _judged(life, *map(_accepted, labels))
    with life.database.reading() as session:
        names = [counted.name for counted in jobs.differential(session, job_id).classes]
    assert names == ["neutrophil", "lymphocyte", "basophil", "smudge"]


def test_a_job_without_a_verdict_has_no_differential(life: Life) -> None:
    with life.database.reading() as session:
        differential = jobs.differential(session, life.submitted(1))
    assert (differential.classes, differential.classified, differential.to_check) == ((), 0, 0)


def test_only_accepted_cells_count_as_a_class_and_the_counts_balance(life: Life) -> None:
    job_id = _judged(life, ACCEPTED, DOUBT, ACCEPTED, STRANGE, DOUBT)
    with life.database.reading() as session:
        differential = jobs.differential(session, job_id)
    assert [(counted.name, counted.count, counted.share) for counted in differential.classes] == [
        ("eosinophil", 2, 1.0)
    ]
    assert differential.outcomes == {
        Outcome.ACCEPTED: 2,
        Outcome.UNCERTAIN: 2,
        Outcome.UNFAMILIAR: 1,
    }
    assert differential.classified == life.counts(job_id).classified == 5
    assert differential.to_check == 3


def test_cells_that_wait_are_counted_by_job(life: Life) -> None:
    first = _judged(life, DOUBT, ACCEPTED, STRANGE)
    second = _judged(life, ACCEPTED)
    with life.database.reading() as session:
        assert jobs.to_check(session, [first, second]) == {first: 2}
        assert jobs.to_check(session, [second]) == {}


def test_all_that_a_model_said_is_kept(life: Life) -> None:
    job_id = _judged(life, DOUBT, STRANGE)
    doubt, strange = life.images(job_id)
    assert (doubt.outcome, doubt.reason) == ("uncertain", "between_classes")
    assert (strange.outcome, strange.reason) == ("unfamiliar", "no_cell")
    with life.database.reading() as session:
        first, second = session.scalars(select(Prediction).order_by(Prediction.image_id))
    assert first.candidates == ["eosinophil", "neutrophil"]
    assert (first.reason, first.familiarity, first.box) == (
        "between_classes",
        0.31,
        [0.1, 0.2, 0.6, 0.7],
    )
    assert (second.candidates, second.box) == (["monocyte"], None)


def test_a_doubt_is_known_to_the_next_worker_as_it_was(life: Life) -> None:
    job_id = _judged(life, DOUBT, STRANGE)
    life.run_again(job_id)
    claim = life.claimed(life.dispatch()[0])
    with life.database.reading() as session:
        verdicts = jobs.known_verdicts(session, claim, life.digest)
    assert list(verdicts.values()) == [DOUBT, STRANGE]


def test_a_job_knows_its_models_and_what_they_learned_from_few_images(life: Life) -> None:
    job_id = _judged(life, ACCEPTED)
    with life.database.writing() as session:
        session.add(Model(digest="f" * 64, name="other", version="1", classes=["x"]))
        model = session.get_one(Model, life.digest)
        model.facts = {"few_shot": ["monocyte"], "trust": {"temperature": 1.3}}
    with life.database.reading() as session:
        models = [judge.model for judge in jobs.judges(session, job_id)]
    assert [model.digest for model in models] == [life.digest]
    assert jobs.few_shot(models) == {"monocyte"}
    assert jobs.calibrated(models)
    assert not jobs.calibrated([*models, Model(facts={})])
    assert not jobs.calibrated([*models, Model(facts={"trust": {"calibrated": False}})])
