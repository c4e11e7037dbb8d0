"""The command line's client: what it sends, to whom, and how long it waits."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from contract.jobs import JobDetails, JobPage, NewJob
from core.errors import ConfigurationError
from hematovision import client as http
from hematovision.collecting import collect
from tests.contract.answers import EMPTY_PAGE, JOB, manifest_line
from tests.hematovision.conftest import Answer

Connect = Callable[[str, str], http.Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return what makes a client; all of them are closed at the end."""
    made: list[http.Client] = []

    def make(server: str, token: str) -> http.Client:
        made.append(http.Client(server, token))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_without_a_server_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="hematovision up"):
        http.connection(tmp_path, None, None).close()


def test_the_token_of_this_machine_is_never_sent_to_another(tmp_path: Path) -> None:
    note = {"server": "http://127.0.0.1:8000", "token": "hv_secret"}
    (tmp_path / "client.json").write_text(json.dumps(note))
    http.connection(tmp_path, None, None).close()
    with pytest.raises(ConfigurationError):
        http.connection(tmp_path, "http://elsewhere:8000", None)


def test_the_servers_own_sentence_is_shown(
    serve: Callable[[Answer], str], connect: Connect
) -> None:
    body = json.dumps({"error": {"code": "conflict", "message": "The job has ended."}}).encode()
    client = connect(serve(lambda _: (409, body)), "hv_x")
    with pytest.raises(http.ServerError, match=r"^The job has ended\.$"):
        client.post("/jobs/1/cancel", JobDetails)


def test_all_repeats_of_a_request_carry_one_key(
    serve: Callable[[Answer], str], connect: Connect
) -> None:
    keys: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        keys.append(handler.headers["Idempotency-Key"])
        body = EMPTY_PAGE if handler.command == "GET" else JOB
        return (503 if len(keys) < 3 else 200), json.dumps(body).encode()

    client = connect(serve(answer), "hv_x")
    client.open_job(NewJob())
    client.open_job(NewJob())
    client.get("/jobs", JobPage)
    assert keys[0] and keys[0] == keys[1] == keys[2] != keys[3]
    assert keys[4] is None


def test_a_token_that_is_not_accepted_is_named(
    serve: Callable[[Answer], str], connect: Connect
) -> None:
    client = connect(serve(lambda _: (401, b"")), "hv_x")
    with pytest.raises(http.ServerError, match="does not accept this token"):
        client.get("/jobs", JobPage)


def test_a_server_that_restarts_is_waited_for(
    serve: Callable[[Answer], str], connect: Connect
) -> None:
    answers = iter([(503, b""), (502, b""), (200, json.dumps(EMPTY_PAGE).encode())])
    client = connect(serve(lambda _: next(answers)), "hv_x")
    assert client.get("/jobs", JobPage) == JobPage(jobs=[], next=None)


def test_a_server_that_never_answers_is_given_up_with_advice(
    monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    monkeypatch.setattr(http, "_PATIENCE_SECONDS", 0.3)
    client = connect("http://127.0.0.1:9", "hv_x")
    with pytest.raises(http.ServerError, match="Is the server up"):
        client.get("/jobs", JobPage)


def test_the_token_travels_as_a_bearer(serve: Callable[[Answer], str], connect: Connect) -> None:
    seen: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        seen.append(request.headers["Authorization"])
        return 200, json.dumps(EMPTY_PAGE).encode()

    connect(serve(answer), "hv_x").get("/jobs", JobPage)
    assert seen == ["Bearer hv_x"]


def test_a_download_that_is_refused_leaves_no_file(
    serve: Callable[[Answer], str], tmp_path: Path, connect: Connect
) -> None:
    body = json.dumps({"error": {"code": "conflict", "message": "Not ready."}}).encode()
    client = connect(serve(lambda _: (409, body)), "hv_x")
    (tmp_path / "r.pdf").write_bytes(b"older")
    with pytest.raises(http.ServerError, match="Not ready"):
        client.download("/reports/1/pdf", tmp_path / "r.pdf")
    assert (tmp_path / "r.pdf").read_bytes() == b"older"


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_sent(
    serve: Callable[[Answer], str], tmp_path: Path, connect: Connect
) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    line = manifest_line(1, needed=False)
    client = connect(serve(lambda _: (200, json.dumps({"files": [line]}).encode())), "hv_x")
    files, _ = collect([tmp_path])
    told: list[http.Sent] = []
    left_out = list(http.upload(client, 1, files, told.append))
    assert [(sent_file.file.name, sent_file.state) for sent_file in left_out] == [
        ("b.png", "missing")
    ]
    assert "No such file" in (left_out[0].message or "")
    assert len(told) == 2


def test_a_server_whose_disk_is_full_is_waited_for_and_what_is_waited_for_is_told_once(
    serve: Callable[[Answer], str],
    tmp_path: Path,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A full disk outlasts what is enough for a restart.
    monkeypatch.setattr(http, "_PATIENCE_SECONDS", 0.0)
    full = json.dumps({"error": {"code": "no_space", "message": "The disk is full."}}).encode()
    room, tries = threading.Event(), itertools.count(1)

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        request.rfile.read(int(request.headers["Content-Length"]))
        if request.path.endswith("/manifest"):
            lines = [manifest_line(number, needed=True) for number in range(3)]
            return 200, json.dumps({"files": lines}).encode()
        if next(tries) > 5:
            room.set()
        received = json.dumps(manifest_line(1, needed=False)).encode()
        return (200, received) if room.is_set() else (507, full)

    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    told: list[str] = []
    client = connect(serve(answer), "hv_x")
    client.waiting = told.append
    sent: list[http.Sent] = []
    assert list(http.upload(client, 1, collect([tmp_path])[0], sent.append)) == []
    assert [sent_file.state for sent_file in sent] == ["received"] * 3
    assert set(told) == {"The disk is full."}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"jobs": [JOB | {"state": None}], "next": None}, "jobs.0.state: "),
        ({"jobs": [{key: JOB[key] for key in JOB if key != "counts"}], "next": None}, "counts: "),
        ({}, "jobs: Field required"),
        ("nothing", "Input should be an object"),
    ],
)
def test_an_answer_that_lacks_a_key_says_that_the_versions_differ(
    serve: Callable[[Answer], str], connect: Connect, body: object, fault: str
) -> None:
    client = connect(serve(lambda _: (200, json.dumps(body).encode())), "hv_x")
    with pytest.raises(http.ServerError, match="runs another version") as caught:
        client.get("/jobs", JobPage)
    assert fault in str(caught.value)


def test_an_answer_that_is_no_json_is_told_in_a_sentence(
    serve: Callable[[Answer], str], connect: Connect
) -> None:
    client = connect(serve(lambda _: (200, b"<html>")), "hv_x")
    with pytest.raises(http.ServerError, match="Invalid JSON"):
        client.job(4)


def test_a_newer_server_may_say_more(serve: Callable[[Answer], str], connect: Connect) -> None:
    counts = JOB["counts"] | {"unread": 9}
    body = json.dumps(JOB | {"counts": counts, "priority": "high"}).encode()
    job = connect(serve(lambda _: (200, body)), "hv_x").job(4)
    assert job == JobDetails.model_validate(JOB)
