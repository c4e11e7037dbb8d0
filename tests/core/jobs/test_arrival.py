"""Files that are announced, arrive, are refused, and are sent again."""

from __future__ import annotations

import pytest

from core import jobs
from core.errors import Conflict, Refused
from core.intake import Arrival
from core.jobs import Entry
from core.people.accounts import RoleName
from core.states import ImageState
from core.tables import Job
from lexicon.folders import Skip
from tests.conftest import MakePerson
from tests.core.conftest import Life, accepted, sha


def _entry(name: str, content: object | None = None, size: int = 100) -> Entry:
    return Entry(name, size, None if content is None else sha(content))


def test_a_manifest_asks_for_every_file_in_its_order(life: Life) -> None:
    job_id = life.open()
    answer = life.announce(job_id, _entry("b.png", "b"), _entry("a.png", "a"))
    assert [needed for _, needed in answer] == [True, True]
    assert [(i.name, i.position) for i in life.images(job_id)] == [("b.png", 0), ("a.png", 1)]


def test_an_upload_is_resumed_by_sending_the_manifest_again(life: Life) -> None:
    job_id = life.open()
    entries = [_entry(f"{i}.png", i) for i in range(3)]
    first = life.announce(job_id, *entries)
    life.receive(first[1][0], 1)
    again = life.announce(job_id, *entries)
    assert [id_ for id_, _ in again] == [id_ for id_, _ in first]
    assert [needed for _, needed in again] == [True, False, True]


def test_an_upload_without_hashes_is_resumed_by_name_and_size(life: Life) -> None:
    job_id = life.open()
    entries = [_entry("a.png"), _entry("b.png")]
    first = life.announce(job_id, *entries)
    life.receive(first[0][0], "a")
    again = life.announce(job_id, *entries)
    assert [id_ for id_, _ in again] == [id_ for id_, _ in first]
    assert [needed for _, needed in again] == [False, True]


def test_two_files_of_one_name_and_size_without_hashes_are_two_files(life: Life) -> None:
    job_id = life.open()
    entries = [_entry("1.bmp", size=14_754), _entry("1.bmp", size=14_754)]
    first = life.announce(job_id, *entries)
    assert first[0][0] != first[1][0]
    assert life.announce(job_id, *entries) == first


def test_an_entry_with_name_size_and_hash_is_added_once(life: Life) -> None:
    job_id = life.open()
    answer = life.announce(job_id, _entry("a.png", "a"), _entry("a.png", "a"))
    assert answer[0][0] == answer[1][0]
    assert [needed for _, needed in answer] == [True, False]


def test_a_changed_file_of_the_same_name_is_another_file(life: Life) -> None:
    job_id = life.open()
    life.announce(job_id, _entry("a.png", "before"))
    life.announce(job_id, _entry("a.png", "after"))
    assert len(life.images(job_id)) == 2


def test_different_files_of_one_name_are_told_apart_and_found_again(life: Life) -> None:
    job_id = life.open()
    entries = [_entry("x/a.png", "one"), _entry("x/a.png", "two"), _entry("y", "three")]
    entries += [_entry("y", "four"), _entry("x/a\u200b.png", "five")]
    first = life.announce(job_id, *entries)
    names = [image.name for image in life.images(job_id)]
    assert names == [
        "x/a.png",
        f"x/a ({sha('two')[:8]}).png",
        "y",
        f"y ({sha('four')[:8]})",
        f"x/a ({sha('five')[:8]}).png",
    ]
    assert life.announce(job_id, *entries) == first
    assert life.announce(job_id, *entries[::-1]) == first[::-1]
    for entry, announced in zip(entries, first, strict=True):
        assert life.announce(job_id, entry) == [announced]


def test_files_without_hashes_are_told_apart_by_size_and_number(life: Life) -> None:
    job_id = life.open()
    entries = [_entry("1.bmp", size=size) for size in (500, 500, 700, 500)]
    first = life.announce(job_id, *entries)
    assert [image.name for image in life.images(job_id)] == [
        "1.bmp",
        "1 (500 bytes, 2).bmp",
        "1 (700 bytes, 3).bmp",
        "1 (500 bytes, 4).bmp",
    ]
    assert life.announce(job_id, *entries) == first


def test_of_several_files_with_one_hash_only_the_first_is_sent(life: Life) -> None:
    job_id = life.open()
    answer = life.announce(job_id, _entry("a.png", "same"), _entry("b.png", "same"))
    assert [needed for _, needed in answer] == [True, False]
    life.receive(answer[0][0], "same")
    assert [i.state for i in life.images(job_id)] == [ImageState.RECEIVED] * 2


def test_twins_are_refused_together_and_accepted_together_later(life: Life) -> None:
    job_id = life.open()
    answer = life.announce(job_id, _entry("a.png", "same"), _entry("b.png", "same"))
    life.refuse(answer[0][0], "changed")
    assert [i.state for i in life.images(job_id)] == [ImageState.REFUSED] * 2
    life.receive(answer[0][0], "same")
    images = life.images(job_id)
    assert [i.state for i in images] == [ImageState.RECEIVED] * 2
    assert [(i.reason, i.message) for i in images] == [(None, None)] * 2


def test_bytes_damaged_on_their_way_are_asked_for_again(life: Life) -> None:
    job_id = life.open()
    [(image_id, _)] = life.announce(job_id, _entry("a.png", "a"))
    life.refuse(image_id, "changed")
    assert life.announce(job_id, _entry("a.png", "a")) == [(image_id, True)]


def test_what_was_refused_for_what_it_is_is_not_asked_for_again(life: Life) -> None:
    job_id = life.open()
    [(image_id, _)] = life.announce(job_id, _entry("a.png", "a"))
    life.refuse(image_id, "not_an_image")
    assert life.announce(job_id, _entry("a.png", "a")) == [(image_id, False)]


def test_a_refusal_takes_nothing_back_that_was_accepted(life: Life) -> None:
    job_id = life.open()
    [(image_id, _)] = life.announce(job_id, _entry("a.png", "a"))
    life.receive(image_id, "a")
    life.refuse(image_id, "changed")
    assert life.images(job_id)[0].state is ImageState.RECEIVED


def test_what_one_sent_before_need_not_be_sent_again(life: Life) -> None:
    life.fill(life.open(), 2)
    job_id = life.open()
    answer = life.announce(job_id, _entry("other name.png", "1/0"), _entry("new.png", "new"))
    assert [needed for _, needed in answer] == [False, True]
    image = life.images(job_id)[0]
    assert (image.state, image.format, image.width) == (ImageState.RECEIVED, "PNG", 64)


def test_a_hash_alone_opens_nobody_elses_image(life: Life, person: MakePerson) -> None:
    life.fill(life.open(), 1)
    other = life.open(person("boris", RoleName.ADMINISTRATOR))
    assert [needed for _, needed in life.announce(other, _entry("x.png", "1/0"))] == [True]


def test_names_are_cleaned_before_they_are_kept(life: Life) -> None:
    job_id = life.open()
    entry = _entry("../../etc/\u202egnp.x\x00", "a")
    life.announce(job_id, entry)
    assert life.images(job_id)[0].name == "etc/gnp.x"
    assert len(life.announce(job_id, entry)) == len(life.images(job_id)) == 1


def test_a_jobs_own_name_can_be_stored_whatever_was_typed(life: Life) -> None:
    with life.database.writing() as session:
        named = jobs.create(session, life.owner.id, " a\x00b\ud800\u2028c ", "\u202e" + "9" * 300)
        blank = jobs.create(session, life.owner.id, "\x00\n")
    assert (named.name, len(named.reference), blank.name) == ("abc", 200, "Untitled")


def test_a_job_has_a_largest_size_that_a_resumed_manifest_does_not_reach(life: Life) -> None:
    life.settings = life.settings.model_copy(update={"max_job_files": 2})
    job_id = life.open()
    entries = [_entry("a.png", "a"), _entry("b.png", "b")]
    life.announce(job_id, *entries)
    life.announce(job_id, *entries)
    with pytest.raises(Conflict, match="at most 2 files"):
        life.announce(job_id, _entry("c.png", "c"))
    assert len(life.images(job_id)) == 2


def test_a_job_that_was_submitted_takes_no_more_files(life: Life) -> None:
    job_id = life.open()
    [(late, _), (_, _)] = life.announce(job_id, _entry("a.png", "a"), _entry("b.png", "b"))
    life.submit(job_id, without_missing=True)
    for attempt in (
        lambda: life.announce(job_id, _entry("c.png", "c")),
        lambda: life.receive(late, "a"),
        lambda: life.refuse(late),
    ):
        with pytest.raises(Conflict, match="no longer receives"):
            attempt()


def test_a_thousand_files_are_announced_at_once(life: Life) -> None:
    job_id = life.open()
    entries = [_entry(f"{i}.png", i) for i in range(1_000)]
    assert len(set(life.announce(job_id, *entries))) == 1_000
    assert [i.position for i in life.images(job_id)] == list(range(1_000))


def test_bytes_that_the_store_has_lost_are_asked_for_again(life: Life) -> None:
    first = life.open()
    [(image_id, _)] = life.announce(first, _entry("a.png", "a"))
    life.receive(image_id, "a")
    with life.database.writing() as session:
        second = jobs.create(session, life.job(first).owner_id, "again")
        answer = jobs.announce(session, second, [_entry("a.png", "a")], 10, lambda _: False)
        assert [needed for _, needed in answer] == [True]


def test_skipped_files_are_noted_once_each_and_up_to_a_limit(life: Life) -> None:
    job_id = life.open()
    skips = [Skip("notes.txt", "not_image"), Skip("../a/../Thumbs.db\x00", "system")]
    for _ in range(2):
        with life.database.writing() as session:
            jobs.skip(session, session.get_one(Job, job_id), skips, 3)
    more = [Skip(f"{i}.txt", "not_image") for i in range(5)]
    with life.database.writing() as session:
        jobs.skip(session, session.get_one(Job, job_id), more, 3)
    with life.database.reading() as session:
        skipped = jobs.skipped(session, session.get_one(Job, job_id), 10)
    assert [skip.name for _, skip in skipped] == ["notes.txt", "a/Thumbs.db", "0.txt"]
    assert life.images(job_id) == []


def _take(life: Life, job_id: int, *arrivals: Arrival) -> None:
    with life.database.writing() as session:
        job = session.get_one(Job, job_id)
        jobs.take(session, job, arrivals, life.settings.max_job_files)


def _arrival(name: str, content: object) -> Arrival:
    return Arrival(name, 100, accepted(content))


def test_files_that_came_unannounced_are_taken_once_however_often(life: Life) -> None:
    job_id = life.open()
    refused = Arrival("b.png", 7, Refused("empty", "The file is empty."))
    for _ in range(2):
        _take(life, job_id, _arrival("a.png", "a"), refused, _arrival("x/a.png", "a"))
    rows = [(i.name, i.position, i.state.value, i.reason) for i in life.images(job_id)]
    assert rows == [
        ("a.png", 0, "received", None),
        ("b.png", 1, "refused", "empty"),
        ("x/a.png", 2, "received", None),
    ]


def test_a_refused_file_that_comes_again_sound_is_received(life: Life) -> None:
    job_id = life.open()
    _take(life, job_id, Arrival("a.png", 100, Refused("corrupt", "Pack it again.")))
    _take(life, job_id, _arrival("a.png", "a"))
    (image,) = life.images(job_id)
    assert (image.state, image.reason, image.sha256) == (ImageState.RECEIVED, None, sha("a"))
    _take(life, job_id, Arrival("a.png", 100, Refused("corrupt", "Pack it again.")))
    assert life.images(job_id)[0].state is ImageState.RECEIVED


def test_what_comes_unannounced_counts_towards_a_jobs_largest_size(life: Life) -> None:
    life.settings = life.settings.model_copy(update={"max_job_files": 1})
    job_id = life.open()
    _take(life, job_id, _arrival("a.png", "a"))
    with pytest.raises(Conflict, match="at most 1 files"):
        _take(life, job_id, _arrival("b.png", "b"))
    life.submit(job_id)
    with pytest.raises(Conflict, match="no longer receives"):
        _take(life, job_id, _arrival("a.png", "a"))
