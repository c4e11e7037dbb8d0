"""Taking files in: manifest, bytes, resuming, duplicates, odd names, limits."""

from __future__ import annotations

import hashlib
import io

import pytest
from flask.testing import FlaskClient

from core.blobs import MemoryBlobs, image_key
from core.queue import MemoryQueue
from tests.web.conftest import Api, Browser, Png, announce, content, on_both, open_job, send

A = "a@laboratory.test"


class Silent(io.BytesIO):
    """What the web server reads from a sender that is silent too long."""

    def read(self, _: int | None = -1, /) -> bytes:
        """Raise what a socket raises whose time is up."""
        raise BlockingIOError(11, "Resource temporarily unavailable")


@on_both
def test_files_are_announced_sent_and_submitted(
    api: Api, png: Png, blobs: MemoryBlobs, queue: MemoryQueue
) -> None:
    job = open_job(api)
    files = {f"slide/{i}.png": png(i) for i in range(6)}
    assert [line["state"] for line in send(api, job, files)] == ["received"] * 6
    answer = content(api("POST", f"/jobs/{job}/submit", json={}))
    assert answer["state"] == "queued"
    assert answer["counts"]["received"] == answer["counts"]["waiting"] == 6
    assert len(queue.rung) == 2
    for data in files.values():
        assert blobs.get(image_key(hashlib.sha256(data).hexdigest())) == data


@on_both
def test_an_upload_is_resumed_with_only_what_is_missing(api: Api, png: Png) -> None:
    job = open_job(api)
    files = {f"{i}.png": png(i) for i in range(4)}
    first = announce(api, job, files, A)
    assert [line["needed"] for line in first] == [True] * 4
    for line, data in list(zip(first, files.values(), strict=True))[:2]:
        api("PUT", f"/jobs/{job}/images/{line['id']}", data=data)
    again = announce(api, job, files, A)
    assert [line["id"] for line in again] == [line["id"] for line in first]
    assert [line["needed"] for line in again] == [False, False, True, True]
    assert [line["state"] for line in again] == ["received"] * 2 + ["expected"] * 2


@on_both
def test_the_same_bytes_are_sent_once_and_set_aside_once(api: Api, png: Png) -> None:
    job = open_job(api)
    lines = send(api, job, {"a.png": png(1), "b.png": png(1), "c.png": png(2)})
    assert [line["needed"] for line in lines] == [True, False, True]
    counts = content(api("POST", f"/jobs/{job}/submit", json={}))["counts"]
    assert (counts["received"], counts["duplicates"], counts["waiting"]) == (3, 1, 2)


def test_bytes_sent_in_an_earlier_job_are_not_asked_for_again(api: Api, png: Png) -> None:
    send(api, open_job(api), {"a.png": png(1)})
    (line,) = announce(api, open_job(api), {"again.png": png(1)}, A)
    assert (line["needed"], line["state"]) == (False, "received")
    other = "b@laboratory.test"
    (line,) = announce(api, open_job(api, other), {"again.png": png(1)}, other)
    assert line["needed"], "a hash alone must not open another's image"


def test_a_file_sent_twice_is_answered_alike(api: Api, png: Png) -> None:
    job = open_job(api)
    (line,) = announce(api, job, {"a.png": png(1)}, A)
    answers = [api("PUT", f"/jobs/{job}/images/{line['id']}", data=png(1)) for _ in range(2)]
    assert [content(answer)["state"] for answer in answers] == ["received", "received"]


def test_bytes_that_changed_on_the_way_may_be_sent_again(api: Api, png: Png) -> None:
    job = open_job(api)
    (line,) = announce(api, job, {"a.png": png(1)}, A)
    path = f"/jobs/{job}/images/{line['id']}"
    assert content(api("PUT", path, data=png(2)))["reason"] == "changed"
    answer = content(api("PUT", path, data=png(1)))
    assert (answer["state"], answer["reason"], answer["message"]) == ("received", None, None)


def test_an_upload_that_broke_off_is_asked_for_again(api: Api, png: Png) -> None:
    job = open_job(api)
    manifest = {"files": [{"name": "a.png", "size": 500}]}
    (line,) = content(api("POST", f"/jobs/{job}/manifest", json=manifest))["files"]
    answer = api(
        "PUT",
        f"/jobs/{job}/images/{line['id']}",
        input_stream=io.BytesIO(png(1)[:50]),
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": "500"},
    )
    assert answer.status_code == 400
    assert "connection was lost" in content(answer)["error"]["message"]
    (again,) = content(api("POST", f"/jobs/{job}/manifest", json=manifest))["files"]
    assert (again["state"], again["needed"]) == ("expected", True)


def test_size_alone_refuses_what_need_not_be_sent(api: Api) -> None:
    job = open_job(api)
    files = [{"name": "scan.tif", "size": 10**9}, {"name": "nothing.png", "size": 0}]
    lines = content(api("POST", f"/jobs/{job}/manifest", json={"files": files}))["files"]
    assert [line["needed"] for line in lines] == [False, False]
    assert "larger than" in lines[0]["message"]
    assert lines[1]["message"] == "The file is empty."


@on_both
@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd.png", "etc/passwd.png"),
        ("Zelle \N{MICROSCOPE} für Übung.png", "Zelle \N{MICROSCOPE} für Übung.png"),
        ("invoice\u202egnp.exe", "invoicegnp.exe"),
        ("a\nb\x00c.png", "abc.png"),
        ("C:\\slides\\7.png", "C:/slides/7.png"),
        ("", "unnamed"),
    ],
)
def test_odd_names_are_shown_safely(api: Api, png: Png, sent: str, shown: str) -> None:
    job = open_job(api)
    (line,) = send(api, job, {sent: png(1)})
    assert content(api("GET", f"/images/{line['id']}"))["name"] == shown


def test_a_name_of_300_characters_loses_its_middle(api: Api, png: Png) -> None:
    (line,) = send(api, open_job(api), {"x" * 300 + ".png": png(1)})
    name = content(api("GET", f"/images/{line['id']}"))["name"]
    assert len(name) <= 255
    assert name.endswith(".png")


def test_a_job_beyond_its_limit_is_told_to_be_split(api: Api) -> None:
    job = open_job(api)
    files = [{"name": f"{i}.png", "size": 10} for i in range(51)]
    answer = api("POST", f"/jobs/{job}/manifest", json={"files": files})
    assert answer.status_code == 409
    assert "at most 50 files" in content(answer)["error"]["message"]
    assert content(api("GET", f"/jobs/{job}"))["counts"]["received"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"files": 1}',
        b'{"files": [{"name": "a", "size": -1}]}',
        b'{"files": [{"name": "a", "size": 1, "sha256": "xyz"}]}',
        b'{"files": [{"name": "a", "size": 99999999999999999999}]}',
        b'{"files": [' + b",".join([b'{"name": "a", "size": 1}'] * 1001) + b"]}",
    ],
)
def test_a_malformed_manifest_is_a_sentence(api: Api, body: bytes) -> None:
    answer = api("POST", f"/jobs/{open_job(api)}/manifest", data=body)
    assert answer.status_code == 400
    assert content(answer)["error"]["message"].startswith("The JSON is not valid")


def test_nothing_is_taken_after_the_job_was_submitted(api: Api, png: Png) -> None:
    job = open_job(api)
    (line,) = send(api, job, {"a.png": png(1)})
    api("POST", f"/jobs/{job}/submit", json={})
    assert api("PUT", f"/jobs/{job}/images/{line['id']}", data=png(1)).status_code == 409
    assert api("POST", f"/jobs/{job}/manifest", json={"files": []}).status_code == 409


def test_a_submit_whose_answer_was_lost_may_be_repeated(
    api: Api, png: Png, laboratory: Browser, queue: MemoryQueue
) -> None:
    job = open_job(api)
    send(api, job, {"a.png": png(1)})
    first = content(api("POST", f"/jobs/{job}/submit", json={}))
    again = api("POST", f"/jobs/{job}/submit", json={})
    assert again.status_code == 200
    assert content(again)["submitted_at"] == first["submitted_at"]
    assert laboratory.submit(f"/jobs/{job}/submit").location == f"/jobs/{job}"
    assert len(queue.rung) == 1


def test_a_sender_that_falls_silent_is_asked_again(api: Api) -> None:
    job = open_job(api)
    (line,) = announce(api, job, {"a.png": b"x" * 500}, A)
    answer = api(
        "PUT",
        f"/jobs/{job}/images/{line['id']}",
        input_stream=Silent(),
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": "500"},
    )
    assert answer.status_code == 400
    assert "connection was lost" in content(answer)["error"]["message"]
    state = content(api("GET", f"/jobs/{job}/images?state=expected"))["images"][0]["state"]
    assert state == "expected"


def test_a_manifest_names_what_is_skipped_and_archives_are_not_asked_for(api: Api) -> None:
    job = open_job(api)
    skips = [{"name": "notes.txt", "reason": "not_image"}, {"name": "x", "reason": "unreadable"}]
    files = [{"name": "slides.zip", "size": 10**12}]
    answer = api("POST", f"/jobs/{job}/manifest", json={"files": files, "skipped": skips})
    (line,) = content(answer)["files"]
    assert (line["needed"], line["state"], line["reason"]) == (False, "refused", "nested")
    listed = content(api("GET", f"/jobs/{job}/skipped"))["files"]
    assert [(file["name"], file["reason"]) for file in listed] == [
        ("notes.txt", "not_image"),
        ("x", "unreadable"),
    ]
    odd = {"files": [], "skipped": [{"name": "a", "reason": "because"}]}
    assert api("POST", f"/jobs/{job}/manifest", json=odd).status_code == 400


def test_an_image_belongs_to_its_job(api: Api, png: Png) -> None:
    first, second = open_job(api), open_job(api)
    (line,) = announce(api, first, {"a.png": png(1)}, A)
    answer = api("PUT", f"/jobs/{second}/images/{line['id']}", data=png(1))
    assert answer.status_code == 404


def test_missing_files_are_named_or_gone_without(api: Api, png: Png) -> None:
    job = open_job(api)
    announce(api, job, {"a.png": png(1), "b.png": png(2)}, A)
    answer = api("POST", f"/jobs/{job}/submit", json={})
    assert answer.status_code == 409
    assert "2 announced files have not arrived" in content(answer)["error"]["message"]
    state = content(api("POST", f"/jobs/{job}/submit", json={"without_missing": True}))["state"]
    assert state == "failed"
    problems = content(api("GET", f"/jobs/{job}/problems"))
    assert (len(problems["files"]), problems["next"]) == (2, None)


def test_problems_come_page_by_page(api: Api, png: Png) -> None:
    job = open_job(api)
    announce(api, job, {f"{name}.png": png(1) for name in "abc"}, A)
    assert api("POST", f"/jobs/{job}/submit", json={"without_missing": True}).status_code == 200
    first = content(api("GET", f"/jobs/{job}/problems?size=2"))
    assert [file["name"] for file in first["files"]] == ["a.png", "b.png"]
    rest = content(api("GET", f"/jobs/{job}/problems?size=2&before={first['next']}"))
    assert ([file["name"] for file in rest["files"]], rest["next"]) == (["c.png"], None)
    assert api("GET", f"/jobs/{job}/problems?before=x").status_code == 400


def test_what_is_missing_is_told_as_it_arrives(laboratory: Browser, api: Api, png: Png) -> None:
    job = open_job(api)
    lines = announce(api, job, {"a.png": png(1), "b.png": png(2)}, A)
    for left, line in ((2, lines[0]), (1, lines[1])):
        summary = laboratory.get(f"/jobs/{job}/summary").text
        assert f"{left} announced file" in summary
        api("PUT", f"/jobs/{job}/images/{line['id']}", data=png(3 - left))
    summary = laboratory.get(f"/jobs/{job}/summary").text
    assert "All announced files have arrived" in summary
    assert "Submit now" in summary


def test_an_empty_job_can_not_be_submitted(api: Api) -> None:
    answer = api("POST", f"/jobs/{open_job(api)}/submit", json={})
    assert answer.status_code == 409
    assert "has no files yet" in content(answer)["error"]["message"]


def test_a_queue_that_is_down_while_submitting_loses_nothing(
    api: Api, png: Png, queue: MemoryQueue
) -> None:
    job = open_job(api)
    send(api, job, {"a.png": png(1)})
    queue.broken = True
    answer = api("POST", f"/jobs/{job}/submit", json={})
    assert answer.status_code == 200
    assert content(answer)["state"] == "queued"
    assert content(answer)["counts"]["waiting"] == 1


def test_a_browser_sends_files_with_its_cookie_and_token(laboratory: Browser, png: Png) -> None:
    job = content(laboratory.call("POST", "/jobs", {"name": "By hand"}))["id"]
    files = [{"name": "a.png", "size": len(png(1)), "sha256": None}]
    (line,) = content(laboratory.call("POST", f"/jobs/{job}/manifest", {"files": files}))["files"]
    answer = laboratory.client.put(
        f"/api/v1/jobs/{job}/images/{line['id']}",
        data=png(1),
        headers={"X-CSRFToken": laboratory.csrf, "Content-Type": "application/octet-stream"},
    )
    assert content(answer)["state"] == "received"


def test_no_token_no_upload(client: FlaskClient) -> None:
    for header in ({}, {"Authorization": "Bearer hv_wrong"}, {"Authorization": "Basic eA=="}):
        answer = client.put("/api/v1/jobs/1/images/1", data=b"x", headers=header)
        assert answer.status_code == 401
        assert content(answer)["error"]["code"] == "not_signed_in"
