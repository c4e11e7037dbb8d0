"""Jobs by the API: states, actions, paging, the gallery, reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import delete, event, update

from core import jobs
from core.blobs import MemoryBlobs
from core.db import Database, clock, utcnow
from core.doorbell import Doorbell
from core.jobs import Failure
from core.people import accounts
from core.queue import REPORT, Draw, MemoryQueue
from core.settings import Settings
from core.states import Lane, MakingState
from core.tables import Model, Report, Shard, Worker
from lexicon.verdicts import Verdict
from tests.web.conftest import (
    DIGEST,
    Api,
    Browser,
    Classify,
    Png,
    Submitted,
    content,
    judge_in_turn,
    on_both,
    open_job,
)
from web.listing.job_list import PAGE


def pictures(png: Png, count: int) -> dict[str, bytes]:
    """Return so many different files."""
    return {f"{i:03}.png": png(i) for i in range(count)}


def fail_every_third(image_id: int) -> Verdict | Failure:
    """Give a verdict on two of three."""
    if image_id % 3:
        return judge_in_turn(image_id)
    return Failure("truncated", "The image data ends too early.")


def test_a_job_says_all_that_the_contract_names(
    api: Api, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted(pictures(png, 8))
    classify()
    answer = content(api("GET", f"/jobs/{job}"))
    assert answer["state"] == "finished"
    assert answer["share_done"] == 1.0
    assert answer["owner"] == "a@laboratory.test"
    assert answer["lane"] == "interactive"
    assert answer["url"] == f"/jobs/{job}"
    assert answer["counts"] == {
        "received": 8,
        "classified": 8,
        "duplicates": 0,
        "refused": 0,
        "failed": 0,
        "waiting": 0,
    }
    assert [line["code"] for line in answer["classes"]] == ["NE", "LY", "MO", "EO"]
    assert set(answer["classes"][0]) == {
        "class",
        "label",
        "code",
        "colour",
        "few_shot",
        "count",
        "share",
        "low",
        "high",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", answer["finished_at"])


def test_progress_is_read_from_the_shards_while_a_job_runs(
    api: Api, submitted: Submitted, classify: Classify, png: Png, database: Database
) -> None:
    job = submitted(pictures(png, 8))
    classify(shards=1)
    with a_worker(database, silent_for=0):
        answer = content(api("GET", f"/jobs/{job}"))
    assert (answer["state"], answer["share_done"]) == ("running", 0.5)
    assert answer["counts"]["waiting"] == 4
    assert answer["images_per_second"] > 0
    assert answer["seconds_left"] is not None
    assert answer["standstill"] is None


def test_nothing_is_promised_while_no_worker_answers(
    api: Api,
    submitted: Submitted,
    classify: Classify,
    png: Png,
    database: Database,
    laboratory: Browser,
) -> None:
    job = submitted(pictures(png, 8))
    assert "No worker is running" in content(api("GET", f"/jobs/{job}"))["standstill"]
    classify(shards=1)
    with database.writing() as session:
        session.execute(update(Shard).values(done_at=Shard.done_at - 40))
    with a_worker(database, silent_for=30):
        answer = content(api("GET", f"/jobs/{job}"))
        assert answer["seconds_left"] is None
        assert re.fullmatch(
            r"There has been no progress for 4\d s. The worker is silent;"
            r" the job waits until one is back.",
            answer["standstill"],
        )
        page = laboratory.get(f"/jobs/{job}").text
        assert answer["standstill"][-30:] in page
        assert " left</span>" not in page
    with a_worker(database, silent_for=0):
        assert content(api("GET", f"/jobs/{job}"))["seconds_left"] is not None
        with database.writing() as session:
            session.execute(update(Shard).values(done_at=Shard.done_at - 60))
        answer = content(api("GET", f"/jobs/{job}"))
        assert answer["seconds_left"] is None
        assert re.search(r"progress for 1 min 4\d s. 1 worker is running.", answer["standstill"])


@contextmanager
def a_worker(database: Database, silent_for: float) -> Iterator[None]:
    """Put a worker on the list that was last seen so many seconds ago."""
    with database.writing() as session:
        seen = clock() - silent_for
        worker = Worker(name="w:1", device="cpu", backend="x", model_digest="", seen_at=seen)
        session.add(worker)
    yield
    with database.writing() as session:
        session.execute(delete(Worker))


def test_a_page_says_how_many_results_are_of_which_model(
    api: Api,
    submitted: Submitted,
    classify: Classify,
    png: Png,
    database: Database,
    laboratory: Browser,
) -> None:
    job = submitted(pictures(png, 8))
    classify()
    other = "e" * 64
    with database.writing() as session:
        model = session.get_one(Model, DIGEST)
        named = {"name": model.name, "version": model.version, "classes": model.classes}
        session.add(Model(digest=other, added_at=utcnow(), **named))
    assert "Results so far" not in laboratory.get(f"/jobs/{job}").text
    answer = content(
        api("POST", f"/jobs/{job}/run-again", "admin@localhost", json={"model": other[:12]})
    )
    assert (answer["counts"]["classified"], answer["left"], answer["share_done"]) == (8, 8, 0.0)
    classify(shards=1)
    answer = content(api("POST", f"/jobs/{job}/cancel"))
    judges = {judge["digest"]: judge["count"] for judge in answer["judged_by"]}
    assert sorted(judges.values()) == [4, 4] and judges.keys() == {DIGEST, other}
    page = laboratory.get(f"/jobs/{job}").text
    assert f"4 by {model.name} {model.version}" in page
    assert DIGEST[:12] in page and other[:12] in page
    assert "4 images show their earlier results" in page


def test_a_cancelled_job_takes_up_again(
    api: Api, submitted: Submitted, classify: Classify, png: Png, queue: MemoryQueue
) -> None:
    job = submitted(pictures(png, 8))
    classify(shards=1)
    assert content(api("POST", f"/jobs/{job}/cancel"))["state"] == "cancelled"
    assert api("POST", f"/jobs/{job}/cancel").status_code == 409
    assert api("POST", f"/jobs/{job}/retry").status_code == 409
    queue.rung.clear()
    assert content(api("POST", f"/jobs/{job}/run-again"))["state"] == "queued"
    assert queue.rung
    classify()
    assert content(api("GET", f"/jobs/{job}"))["counts"]["classified"] == 8


def test_the_failed_images_are_retried_alone(
    api: Api, submitted: Submitted, classify: Classify, png: Png, laboratory: Browser
) -> None:
    job = submitted(pictures(png, 9))
    classify(fail_every_third)
    counts = content(api("GET", f"/jobs/{job}"))["counts"]
    assert (counts["classified"], counts["failed"]) == (6, 3)
    assert "Retry the 3 failed images" in laboratory.get(f"/jobs/{job}").text
    assert laboratory.submit(f"/jobs/{job}/retry").location == f"/jobs/{job}"
    counts = content(api("GET", f"/jobs/{job}"))["counts"]
    assert (counts["classified"], counts["failed"]) == (6, 3)
    assert content(api("GET", f"/jobs/{job}"))["left"] == 3
    classify()
    counts = content(api("GET", f"/jobs/{job}"))["counts"]
    assert (counts["classified"], counts["failed"]) == (9, 0)


def test_an_action_that_is_impossible_is_a_sentence_on_a_page(
    laboratory: Browser, submitted: Submitted, png: Png
) -> None:
    job = submitted(pictures(png, 1))
    answer = laboratory.submit(f"/jobs/{job}/retry")
    assert answer.status_code == 409
    assert "Only a finished job can be retried" in answer.text


def open_jobs(database: Database, count: int) -> list[int]:
    """Open so many jobs of laboratory A."""
    with database.writing() as session:
        owner = accounts.find_person(session, "a@laboratory.test").id
        return [jobs.create(session, owner, f"Job {i}").id for i in range(count)]


def test_jobs_are_paged_without_gap_or_double(api: Api, database: Database) -> None:
    made = open_jobs(database, 120)
    ids: list[int] = []
    cursor = None
    while True:
        page = content(api("GET", "/jobs", query_string={"before": cursor} if cursor else None))
        ids += [job["id"] for job in page["jobs"]]
        if len(ids) == 50:
            open_job(api, name="comes in between")
        cursor = page["next"]
        if cursor is None:
            break
    assert ids == made[::-1]


def test_the_pages_of_the_job_list_lead_on(laboratory: Browser, database: Database) -> None:
    open_jobs(database, PAGE + 5)
    first = laboratory.get("/jobs?q=job").text
    older = re.findall(r'href="(/jobs\?[^"]*before=[^"]*)"', first)
    assert len(older) == 1
    second = laboratory.get(older[0].replace("&amp;", "&")).text
    assert "Job 4<" in second
    assert "Job 5<" not in second


def test_a_full_page_of_jobs_leads_to_no_empty_one(
    laboratory: Browser, api: Api, database: Database
) -> None:
    open_jobs(database, PAGE)
    assert "Older jobs" not in laboratory.get("/jobs").text
    answer = content(api("GET", "/jobs"))
    assert (len(answer["jobs"]), answer["next"]) == (PAGE, None)


@on_both
@pytest.mark.parametrize("order", ["high", "low", "check"])
@pytest.mark.parametrize("label", ["", "lymphocyte"])
def test_the_gallery_is_paged_in_order_without_gap_or_double(
    api: Api, submitted: Submitted, classify: Classify, png: Png, order: str, label: str
) -> None:
    job = submitted(pictures(png, 40))
    classify()
    tiles: list[tuple[float, int]] = []
    query = {"order": order, "class": label, "size": "7", "before": ""}
    while True:
        page = content(api("GET", f"/jobs/{job}/images", query_string=query))
        assert len(page["images"]) <= 7
        tiles += [(image["confidence"], image["id"]) for image in page["images"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert tiles == sorted(tiles, reverse=order != "low")
    assert len(set(tiles)) == (10 if label else 40)


def test_what_has_no_confidence_is_paged_as_announced(
    api: Api, submitted: Submitted, png: Png
) -> None:
    job = submitted({f"{i}.txt": b"no image %d" % i for i in range(9)} | {"a.png": png(1)})
    query = {"state": "refused", "size": "4", "before": ""}
    names: list[str] = []
    while True:
        page = content(api("GET", f"/jobs/{job}/images", query_string=query))
        names += [image["name"] for image in page["images"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert names == [f"{i}.txt" for i in range(9)]


@on_both
@pytest.mark.parametrize(
    "path",
    [
        "/jobs?before=x",
        "/jobs?before=99999999999999999999999_1",
        f"/jobs?before=1_{2**70}",
        "/jobs/1/images?before=abc",
        "/jobs/1/images?before=1.0_",
        "/jobs/1/images?state=refused&before=-1",
        f"/jobs/1/images?state=refused&before={2**31}",
        f"/jobs?before=1_{2**31}",
        "/jobs/1/images?order=check&before=0.5_3",
        "/jobs/1/images?state=nothing",
        "/jobs/1/images?order=sideways",
    ],
)
def test_a_malformed_query_is_a_sentence(api: Api, path: str) -> None:
    open_job(api)
    answer = api("GET", path)
    assert answer.status_code == 400
    assert content(answer)["error"]["code"] == "bad_input"


@on_both
def test_a_character_no_database_keeps_harms_nothing(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted(pictures(png, 2))
    classify()
    for query in ("class=%00", "outcome=%00", "class=lymph%00ocyte", "class=%ED%A0%80"):
        for path in (
            f"/jobs/{job}",
            f"/jobs/{job}/gallery",
            "/images/1",
            f"/api/v1/jobs/{job}/images",
        ):
            assert laboratory.get(f"{path}?{query}").status_code == 200, (path, query)
    page = laboratory.get(f"/jobs/{job}/gallery?class=lymph%00ocyte").text
    assert re.findall(r"/images/(\d+)\?class=lymphocyte", page) == ["1"]
    assert laboratory.get("/jobs?q=%00slide").text.count("Slide 7") == 1
    for path in ("/jobs?state=%00", "/jobs?before=%00", f"/jobs/{job}/gallery?state=%00"):
        assert laboratory.get(path).status_code == 400, path


def test_neighbours_follow_the_bin_and_its_order(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    submitted(pictures(png, 12))
    classify()
    for query in ("", "?order=low", "?class=lymphocyte", "?class=lymphocyte&order=low"):
        page = laboratory.get(f"/jobs/1/gallery{query}").text
        shown = [int(id_) for id_ in re.findall(r'<li><a href="/images/(\d+)', page)]
        walked = [shown[0]]
        while True:
            page = laboratory.get(f"/images/{walked[-1]}{query}").text
            after = re.findall(r'rel="next" href="/images/(\d+)', page)
            if not after:
                break
            assert (
                f'rel="prev" href="/images/{walked[-1]}'
                in laboratory.get(f"/images/{after[0]}{query}").text
            )
            walked.append(int(after[0]))
        assert walked == shown


def test_a_duplicate_shows_the_verdict_of_its_original(
    api: Api, laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    submitted({"a.png": png(1), "b.png": png(1)})
    classify()
    first, second = (content(api("GET", f"/images/{i}")) for i in (1, 2))
    assert (second["state"], second["duplicate_of"]) == ("duplicate", 1)
    assert second["name"] == "b.png"
    assert (second["class"], second["label"]) == (first["class"], first["label"])
    assert second["classes"] == first["classes"]
    assert "Identical to" in laboratory.get("/images/2").text


def test_an_image_says_what_the_model_said(
    api: Api, submitted: Submitted, classify: Classify, png: Png
) -> None:
    submitted({"a.png": png(1)})
    waiting = content(api("GET", "/images/1"))
    assert (waiting["state"], waiting["classes"], waiting["model"]) == ("received", [], None)
    assert (waiting["class"], waiting["label"]) == (None, None)
    classify()
    image = content(api("GET", "/images/1"))
    assert image["model"]["name"] == "wbc4"
    assert image["classes"][0]["class"] == image["class"] == "lymphocyte"
    assert image["classes"][0]["label"] == image["label"] == "Lymphocyte"
    (tile,) = content(api("GET", "/jobs/1/images"))["images"]
    assert (tile["class"], tile["label"]) == ("lymphocyte", "Lymphocyte")
    assert sum(line["probability"] for line in image["classes"]) == pytest.approx(1, abs=1e-5)


def test_one_failed_image_is_spoken_of_as_one(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted(pictures(png, 3))
    classify(fail_every_third)
    assert "Retry the failed image<" in laboratory.get(f"/jobs/{job}").text


def test_a_job_without_a_file_says_what_to_do_next(api: Api, laboratory: Browser) -> None:
    job = open_job(api)
    api("POST", f"/jobs/{job}/cancel")
    page = laboratory.get(f"/jobs/{job}").text
    assert re.search(r'has no files\. <a href="/">Submit images</a>', page)


def test_a_report_is_ordered_rung_for_and_fetched(
    api: Api,
    submitted: Submitted,
    classify: Classify,
    png: Png,
    queue: MemoryQueue,
    database: Database,
    blobs: MemoryBlobs,
) -> None:
    job = submitted(pictures(png, 1))
    assert api("POST", f"/jobs/{job}/reports", json={"paper": "A4"}).status_code == 409
    classify()
    assert api("POST", f"/jobs/{job}/reports", json={"paper": "A0"}).status_code == 409
    queue.broken = True
    answer = api("POST", f"/jobs/{job}/reports", json={"paper": "A4"})
    assert answer.status_code == 202, "the sweep rings for it"
    queue.broken = False
    report = content(api("POST", f"/jobs/{job}/reports", json={"paper": "A4"}))
    assert report["id"] == content(answer)["id"]
    assert queue.rung[-1] == (REPORT, report["id"], Lane.REPORTS)
    assert api("GET", f"/reports/{report['id']}/pdf").status_code == 409
    blobs.put("reports/1", b"%PDF-1.7 report")
    with database.writing() as session:
        session.execute(update(Report).values(state=MakingState.READY, blob_key="reports/1"))
    assert content(api("GET", f"/reports/{report['id']}"))["state"] == "ready"
    pdf = api("GET", f"/reports/{report['id']}/pdf")
    assert (pdf.mimetype, pdf.data) == ("application/pdf", b"%PDF-1.7 report")
    assert "job-1-A4.pdf" in pdf.headers["Content-Disposition"]


def test_a_report_is_ordered_without_javascript(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png, database: Database
) -> None:
    job = submitted(pictures(png, 1))
    classify()
    answer = laboratory.submit(f"/jobs/{job}/report", {"paper": "Letter"})
    assert answer.location == "/reports/1"
    assert "is being made" in laboratory.get("/reports/1").text
    for state, words in ((MakingState.READY, "Open the PDF"), (MakingState.FAILED, "Out of paper")):
        with database.writing() as session:
            session.execute(update(Report).values(state=state, message="Out of paper."))
        assert words in laboratory.get("/reports/1").text


def test_a_duplicate_without_a_verdict_leads_to_the_first_file(
    api: Api, laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"a.png": png(1), "b.png": png(1)})
    (second,) = content(api("GET", f"/jobs/{job}/images?state=duplicate"))["images"]
    page = laboratory.get(second["url"]).text
    assert 'data-image="1" data-waiting' in page
    assert "<bdi>a.png</bdi></a> is waiting for its turn." in page
    classify(lambda _: Failure("truncated", "The file ends too early."))
    page = laboratory.get(second["url"]).text
    assert "<bdi>a.png</bdi></a> could not be classified. The file ends too early." in page
    assert "data-waiting" not in page
    assert "its turn" not in page


def test_the_live_part_of_a_page_asks_for_no_gallery(
    database: Database, laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted(pictures(png, 8))
    classify(shards=1)
    asked: list[str] = []

    def note(*values: object) -> None:
        asked.append(str(values[2]))

    event.listen(database.engine, "before_cursor_execute", note)
    for part, wanted in (("summary", 0), ("gallery", 2)):
        asked.clear()
        assert laboratory.get(f"/jobs/{job}/{part}").status_code == 200
        gallery = [sql for sql in asked if "FROM image" in sql or "FROM prediction" in sql]
        assert len(gallery) == wanted, gallery
    event.remove(database.engine, "before_cursor_execute", note)


def test_a_database_that_is_away_after_the_commit_fails_no_request(
    settings: Settings, blobs: MemoryBlobs, queue: MemoryQueue, caplog: pytest.LogCaptureFixture
) -> None:
    away = Database(f"sqlite:///{settings.data}/none/at/all.db")
    Doorbell(away, queue, settings).ring([Draw.SHARDS])
    assert "The database is busy; the sweep will ring" in caplog.text
    away.dispose()
