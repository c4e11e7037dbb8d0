"""Models: which is active, what may follow what, and what jobs are given to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import jobs, registry
from core.db import Database
from core.errors import Conflict, NotFound
from core.registry import BundleFacts
from core.states import ModelState
from core.tables import Image, Job, Model
from tests.core.conftest import VERDICT, Life

CLASSES = ("eosinophil", "lymphocyte", "monocyte", "neutrophil")


def facts(letter: str, **changes: object) -> BundleFacts:
    """Return what a bundle says whose digest is 64 times one hexadecimal digit."""
    plain = BundleFacts(letter * 64, "wbc4", "1.0", CLASSES, {"validation": {"accuracy": 0.9}}, {})
    return replace(plain, **changes)  # type: ignore[arg-type]


def call(database: Database, change: Callable[[Session], Model]) -> str:
    """Make a change in a transaction of its own; return the first digit of the model it was of."""
    with database.writing() as session:
        return change(session).digest[0]


def add(database: Database, *letters: str) -> None:
    """Add models in order."""
    for letter in letters:
        call(database, lambda session, letter=letter: registry.add(session, facts(letter)))  # type: ignore[misc]


def activate(database: Database, letter: str) -> str:
    """Activate the model of this digit."""
    return call(database, lambda session: registry.activate(session, letter * 64))


def roll_back(database: Database) -> str:
    """Roll back; return the digit of the model that is active then."""
    return call(database, registry.roll_back)


def states(database: Database) -> dict[str, str]:
    """Return each model's state by its digit."""
    with database.reading() as session:
        return {model.digest[0]: model.state.value for model in session.scalars(select(Model))}


def forget_bundle(database: Database, letter: str) -> None:
    """Make a model one of which only the results are kept."""
    with database.writing() as session:
        session.execute(update(Model).where(Model.digest == letter * 64).values(added_at=None))


def test_what_is_added_is_a_candidate_with_its_facts(database: Database) -> None:
    shown = {"few_shot": ["platelet"], "shape": [96, 96]}
    with database.writing() as session:
        registry.add(session, facts("a", shown=shown))
    with database.reading() as session:
        model = registry.find(session, "aaaa")
    assert (model.state, model.facts) == (ModelState.CANDIDATE, shown)
    assert model.scores == {"validation": {"accuracy": 0.9}}
    assert model.added_at is not None and model.activated_at is None


def test_adding_a_model_again_changes_nothing(database: Database) -> None:
    add(database, "a")
    activate(database, "a")
    add(database, "a")
    assert states(database) == {"a": "active"}


def test_a_digest_that_would_lead_elsewhere_in_the_store_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal"), database.writing() as session:
        registry.add(session, facts("a", digest="../../etc/passwd"))
    assert registry.bundle_key("a" * 64) == f"models/{'a' * 64}.zip"


def test_the_first_model_to_come_is_active_and_later_ones_wait(database: Database) -> None:
    for letter in "aab":
        call(database, lambda session, letter=letter: registry.start_with(session, facts(letter)))  # type: ignore[misc]
    assert states(database) == {"a": "active", "b": "candidate"}


def test_an_active_model_without_a_bundle_gives_way_to_one_that_works(database: Database) -> None:
    add(database, "a")
    activate(database, "a")
    forget_bundle(database, "a")
    call(database, lambda session: registry.start_with(session, facts("b")))
    assert states(database) == {"a": "candidate", "b": "active"}


def test_a_bundle_that_comes_later_completes_its_model(database: Database) -> None:
    add(database, "a")
    forget_bundle(database, "a")
    with pytest.raises(Conflict, match="model add FOLDER"):
        activate(database, "a")
    add(database, "a")
    assert activate(database, "a") == "a"


def test_activating_puts_the_former_among_the_candidates(database: Database) -> None:
    add(database, "a", "b")
    activate(database, "a")
    activate(database, "b")
    assert states(database) == {"a": "candidate", "b": "active"}
    assert activate(database, "b") == "b"


def test_rolling_back_goes_one_step_at_a_time(database: Database) -> None:
    add(database, "a", "b", "c")
    for letter in "abc":
        activate(database, letter)
    assert (roll_back(database), roll_back(database)) == ("b", "a")
    with pytest.raises(Conflict, match="No other model was active"):
        roll_back(database)
    assert states(database) == {"a": "active", "b": "candidate", "c": "candidate"}


def test_rolling_back_passes_over_retired_models_and_those_without_a_bundle(
    database: Database,
) -> None:
    add(database, "a", "b", "c", "d")
    for letter in "abcd":
        activate(database, letter)
    call(database, lambda session: registry.retire(session, "c" * 64))
    forget_bundle(database, "b")
    assert roll_back(database) == "a"


def test_a_model_activated_twice_is_rolled_back_from_to_the_one_between(database: Database) -> None:
    add(database, "a", "b")
    for letter in "aba":
        activate(database, letter)
    assert roll_back(database) == "b"


def test_the_active_model_is_neither_retired_nor_made_a_shadow(database: Database) -> None:
    add(database, "a")
    activate(database, "a")
    for change in (registry.retire, registry.shadow, registry.make_candidate):
        with pytest.raises(Conflict, match="is the active model"), database.writing() as session:
            change(session, "a")


def test_a_retired_model_comes_back_as_a_candidate_only(database: Database) -> None:
    add(database, "a")
    call(database, lambda session: registry.retire(session, "a"))
    for change in (registry.activate, registry.shadow):
        with pytest.raises(Conflict, match="is retired"), database.writing() as session:
            change(session, "a")
    call(database, lambda session: registry.make_candidate(session, "a"))
    call(database, lambda session: registry.shadow(session, "a"))
    assert states(database) == {"a": "shadow"}
    assert activate(database, "a") == "a"


def test_other_classes_must_be_meant(database: Database) -> None:
    add(database, "a")
    activate(database, "a")
    other = facts("b", classes=("basophil", "lymphocyte", "monocyte", "neutrophil"))
    call(database, lambda session: registry.add(session, other))
    with pytest.raises(Conflict, match="it adds basophil, it lacks eosinophil"):
        activate(database, "b")
    assert states(database)["a"] == "active"
    with database.writing() as session:
        registry.activate(session, "b", other_classes=True)
    assert roll_back(database) == "a"


def test_a_model_is_found_by_the_start_of_its_digest_if_that_is_clear(database: Database) -> None:
    add(database, "a")
    with database.writing() as session:
        registry.add(session, facts("x", digest="a" * 63 + "b"))
    with database.reading() as session:
        assert registry.find(session, "A" * 63 + "b ").digest[-1] == "b"
        with pytest.raises(Conflict, match="more of its digits"):
            registry.find(session, "aa")
        for nothing in ("c", "", " ", "%", "_"):
            with pytest.raises(NotFound):
                registry.find(session, nothing)


def test_the_database_itself_refuses_a_second_active_model(database: Database) -> None:
    add(database, "a", "b")
    activate(database, "a")
    with pytest.raises(IntegrityError), database.writing() as session:
        session.execute(update(Model).values(state=ModelState.ACTIVE))


def at_once(changes: list[Callable[[], object]]) -> list[BaseException]:
    """Do all of this at the same time; return what was raised."""
    start, raised = threading.Barrier(len(changes)), []

    def run(change: Callable[[], object]) -> None:
        start.wait()
        try:
            change()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_workers_that_start_at_once_make_one_model_active(database: Database) -> None:
    def begin(letter: str) -> Callable[[], object]:
        return lambda: call(database, lambda session: registry.start_with(session, facts(letter)))

    assert at_once([begin(letter) for letter in "abcabc"]) == []
    assert sorted(states(database).values()) == ["active", "candidate", "candidate"]


def test_two_administrators_at_once_leave_one_active_model(database: Database) -> None:
    add(database, "a", "b", "c")
    activate(database, "a")
    assert at_once([lambda: activate(database, "b"), lambda: activate(database, "c")]) == []
    assert sorted(states(database).values()) == ["active", "candidate", "candidate"]
    first = roll_back(database)
    assert first in "bc"
    assert roll_back(database) == "a"


def model_of(life: Life, job_id: int) -> str | None:
    """Return the first digit of the model a job was given to."""
    digest = life.job(job_id).model_digest
    return digest and digest[0]


def test_a_job_keeps_the_model_that_was_active_when_it_was_submitted(life: Life) -> None:
    job_id = life.submitted(2)
    add(life.database, "a")
    activate(life.database, "a")
    assert model_of(life, job_id) == "d"
    assert life.claimed(life.dispatch()[0]).model_digest == life.digest
    assert model_of(life, life.submitted(1)) == "a"


def test_a_job_may_be_given_to_any_model_that_is_kept_and_not_retired(life: Life) -> None:
    add(life.database, "a", "b", "c")
    call(life.database, lambda session: registry.retire(session, "b"))
    forget_bundle(life.database, "c")
    for wanted, answer in (("aaa", "a"), ("active", "d"), ("", "d")):
        with life.database.reading() as session:
            assert (registry.choose(session, wanted) or "?")[0] == answer
    for wanted, kind in (("b", Conflict), ("c", Conflict), ("e", NotFound)):
        with pytest.raises(kind), life.database.reading() as session:
            registry.choose(session, wanted)
    with life.database.reading() as session:
        assert [model.digest[0] for model in registry.choosable(session)] == ["d", "a"]


def test_a_submission_that_asks_for_an_unknown_model_leaves_the_job_open(life: Life) -> None:
    job_id = life.open()
    life.fill(job_id, 1)
    with pytest.raises(NotFound), life.database.writing() as session:
        job = session.get_one(Job, job_id)
        jobs.submit(session, job, life.settings, without_missing=False, model="e")
    life.submit(job_id)


def test_running_again_takes_the_model_that_is_active_then(life: Life) -> None:
    job_id = life.submitted(2)
    life.work_off()
    add(life.database, "a", "b")
    activate(life.database, "a")
    life.run_again(job_id)
    assert model_of(life, job_id) == "a"
    life.work_off()
    with life.database.writing() as session:
        jobs.run_again(session, session.get_one(Job, job_id), life.settings, "b")
    assert model_of(life, job_id) == "b"


def test_retrying_what_failed_keeps_the_model(life: Life) -> None:
    job_id = life.submitted(2)
    life.work_off(failing=[life.images(job_id)[0].id])
    add(life.database, "a")
    activate(life.database, "a")
    life.retry_failed(job_id)
    assert model_of(life, job_id) == "d"


def test_a_job_of_before_any_model_gets_the_active_one_at_its_first_claim(life: Life) -> None:
    with life.database.writing() as session:
        session.delete(session.get_one(Model, life.digest))
    job_id = life.submitted(5)
    assert model_of(life, job_id) is None
    first, second = life.dispatch()
    assert life.claim(first) is None
    call(life.database, lambda session: registry.start_with(session, facts("a")))
    assert life.claimed(second).model_digest == life.claimed(first).model_digest == "a" * 64
    assert model_of(life, job_id) == "a"


def test_a_shadow_is_compared_over_what_both_have_judged_and_never_shown(life: Life) -> None:
    job_id = life.submitted(4)
    life.work_off()
    add(life.database, "a")
    call(life.database, lambda session: registry.shadow(session, "a"))
    other = replace(VERDICT, label="monocyte")
    ids = [image.id for image in life.images(job_id)]
    with life.database.writing() as session:
        verdicts = {ids[0]: VERDICT, ids[1]: VERDICT, ids[2]: other}
        jobs.record_shadow(session, "a" * 64, verdicts)
        jobs.record_shadow(session, "a" * 64, verdicts)
    with life.database.reading() as session:
        ours, theirs = registry.listing(session)
        assert set(session.scalars(select(Image.model_digest))) == {life.digest}
    assert (ours.model.digest, ours.jobs, ours.agreement) == (life.digest, 1, None)
    assert theirs.agreement is not None
    assert (theirs.agreement.images, theirs.agreement.equal) == (3, 2)
    assert theirs.agreement.share == pytest.approx(2 / 3)
    [lymphocytes] = theirs.agreement.classes
    assert (lymphocytes.name, lymphocytes.images, lymphocytes.equal) == ("lymphocyte", 3, 2)


def test_shadows_follow_the_active_model_alone(life: Life) -> None:
    add(life.database, "a", "b")
    call(life.database, lambda session: registry.shadow(session, "a"))
    with life.database.reading() as session:
        assert list(registry.shadows_of(session, life.digest)) == ["a" * 64]
        assert list(registry.shadows_of(session, "b" * 64)) == []
        assert list(registry.shadows_of(session, None)) == []


def test_the_list_begins_with_the_active_model_and_ends_with_the_retired(life: Life) -> None:
    add(life.database, "a", "b", "c")
    call(life.database, lambda session: registry.retire(session, "c"))
    call(life.database, lambda session: registry.shadow(session, "a"))
    with life.database.reading() as session:
        order = [listed.model.digest[0] for listed in registry.listing(session)]
        count = session.scalar(select(func.count()).select_from(Model))
    assert order == ["d", "a", "b", "c"]
    assert count == 4


def test_an_accuracy_comes_with_its_interval_where_there_is_one() -> None:
    within = {"accuracy": {"low": 0.871, "high": 0.9449}, "macro_f1": {"low": 0, "high": 1}}
    scores = registry.read_scores(
        {
            "validation": {"accuracy": 0.9324, "matrix": [[1]]},
            "pbc8_test": {"scores": {"accuracy": 0.9}, "intervals": within},
        }
    )
    lines = [(score.images, str(score)) for score in scores]
    assert lines == [("validation", "93.2 %"), ("pbc8 test", "90.0 % [87.1–94.5]")]  # noqa: RUF001


def test_what_is_no_score_is_passed_over() -> None:
    odd = {"note": "none", "a": {}, "b": {"accuracy": "high"}, "c": {"scores": 3}, "d": [0.5]}
    assert registry.read_scores(odd) == []
    scores = registry.read_scores({"e": {"accuracy": 1, "intervals": {"accuracy": {"low": 0.1}}}})
    assert [str(score) for score in scores] == ["100.0 %"]


def steps(*lines: tuple[str, str]) -> set[tuple[str, str]]:
    """Return the steps from each state to those named beside it."""
    return {(before, after) for before, afters in lines for after in afters.split()}


# As `core.states` draws them.
DRAWN = steps(
    ("candidate", "shadow active retired"),
    ("shadow", "candidate active retired"),
    ("active", "candidate"),
    ("retired", "candidate"),
)
CHANGES: dict[str, Callable[[Session, str], Model]] = {
    "activate": registry.activate,
    "shadow": registry.shadow,
    "retire": registry.retire,
    "candidate": registry.make_candidate,
    "back": lambda session, _: registry.roll_back(session),
}
WHAT = st.tuples(st.sampled_from([*CHANGES, "activate", "back"]), st.sampled_from("abc"))


def change(database: Database, what: str, letter: str) -> bool:
    """Try a change of a model; return whether it was possible."""
    try:
        call(database, lambda session: CHANGES[what](session, letter * 64))
    except Conflict:
        return False
    return True


def test_each_step_of_a_model_that_is_drawn_is_possible_and_no_other(database: Database) -> None:
    seen: set[tuple[str, str]] = set()
    # The state in which a model is, and how it gets there.
    ways = {"candidate": (), "shadow": ("shadow",), "active": ("activate",), "retired": ("retire",)}
    for letter, (state, way) in zip("abef", ways.items(), strict=True):
        add(database, letter)
        for what in ("activate", "shadow", "retire", "candidate"):
            for step in ("candidate", *way):
                change(database, step, letter)
            before = states(database)
            assert before[letter] == state
            done, after = change(database, what, letter), states(database)
            assert done or after == before, "what is not possible changes nothing"
            if after[letter] != state:
                seen.add((state, after[letter]))
            # The active one steps back only for another.
            add(database, "c")
            change(database, "activate", "c")
            if after[letter] == "active":
                seen.add(("active", states(database)[letter]))
    assert seen == DRAWN


@given(st.lists(WHAT, max_size=10))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_administrators_do_one_model_is_active_and_goes_back_to_one_that_was(
    database: Database, changes: list[tuple[str, str]]
) -> None:
    for letter in "abc":
        with database.writing() as session:
            session.execute(delete(Model).where(Model.digest == letter * 64))
    add(database, "a", "b", "c")
    activate(database, "a")
    # The models that were activated and not gone back from, the latest last.
    history = ["a"]
    for what, letter in changes:
        before = states(database)
        done, after = change(database, what, letter), states(database)
        changed = {(before[one], after[one]) for one in after if before[one] != after[one]}
        assert changed <= DRAWN
        assert list(after.values()).count("active") == 1
        [now] = [one for one, state in after.items() if state == "active"]
        if what == "activate" and done and now != history[-1]:
            history = [one for one in history if one != now] + [now]
        if what == "back":
            usable = [one for one in history[:-1] if before[one] != "retired"]
            assert done is bool(usable)
            if done:
                assert now == usable[-1]
                history = [one for one in history[:-1] if one != now] + [now]


def test_activating_retiring_and_going_back_at_once_leave_one_usable_model(
    database: Database,
) -> None:
    add(database, "a", "b", "c")
    activate(database, "a")
    for _ in range(3):
        activate(database, "b")
        raised = at_once(
            [
                lambda: activate(database, "c"),
                lambda: call(database, lambda session: registry.retire(session, "c" * 64)),
                lambda: roll_back(database),
                lambda: call(database, lambda session: registry.shadow(session, "b" * 64)),
            ]
        )
        assert all(isinstance(error, Conflict) for error in raised), raised
        now = states(database)
        assert list(now.values()).count("active") == 1
        assert now["c"] in ("active", "candidate", "retired")
        # Whatever came first, the next administrator finds a registry that works.
        change(database, "candidate", "c")
        assert activate(database, "c") == "c"


def test_a_shadow_that_is_activated_is_no_shadow_any_more(life: Life) -> None:
    add(life.database, "a", "b")
    for letter in "ab":
        call(life.database, lambda session, one=letter: registry.shadow(session, one))  # type: ignore[misc]
    activate(life.database, "a")
    with life.database.reading() as session:
        assert list(registry.shadows_of(session, "a" * 64)) == ["b" * 64]
        assert list(registry.shadows_of(session, life.digest)) == []
    assert states(life.database) == {"a": "active", "b": "shadow", "d": "candidate"}


def test_two_models_that_were_never_asked_about_the_same_image_are_not_compared(
    life: Life,
) -> None:
    life.submitted(1)
    life.work_off()
    add(life.database, "a")
    with life.database.reading() as session:
        agreement = registry.compare(session, life.digest, "a" * 64)
    assert (agreement.images, agreement.equal, agreement.classes) == (0, 0, ())
    assert agreement.share is None


def test_a_former_model_that_judges_as_a_shadow_is_gone_back_to(database: Database) -> None:
    add(database, "a", "b")
    activate(database, "a")
    activate(database, "b")
    call(database, lambda session: registry.shadow(session, "a"))
    assert roll_back(database) == "a"
    assert states(database) == {"a": "active", "b": "candidate"}
