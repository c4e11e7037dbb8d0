"""Bodies that are refused: the sender hears why, and the connection's next request is answered."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core import jobs
from core.db import Database
from core.people import accounts, tokens
from core.settings import Settings
from core.states import TokenKind
from hematovision.client import Client, ServerError
from tests.web.test_server import ask, free_port, running

LARGE = 1_200_000
A = "a@laboratory.test"


@pytest.fixture
def serving(settings: Settings, database: Database) -> Iterator[tuple[int, str, int]]:
    """Yield the port of a server in a process of its own, a token, and a job that receives."""
    with database.writing() as session:
        user = accounts.find_person(session, A)
        token = tokens.issue(session, user, TokenKind.API, "test")
        job_id = jobs.create(session, user.id, "Slide 7").id
    port = free_port()
    update = {"port": port, "web_workers": 1, "redis_url": "memory://"}
    with running(settings.model_copy(update=update)):
        assert ask(port, "GET", "/healthz").status == 200
        yield port, token, job_id


REFUSED = {
    "no archive": ("PUT", "/api/v1/jobs/{job}/archive", 400, {}),
    "another's token": ("PUT", "/api/v1/jobs/{job}/archive", 401, {"Authorization": "Bearer hv_x"}),
    "no token": ("PUT", "/api/v1/jobs/{job}/archive", 401, {"Authorization": ""}),
    "no such job": ("PUT", "/api/v1/jobs/999/archive", 404, {}),
    "no such file": ("PUT", "/api/v1/jobs/{job}/images/99", 404, {}),
    "no such page": ("POST", "/api/v1/nowhere", 404, {}),
    "a form": ("PUT", "/api/v1/jobs/{job}/archive", 400, {"Content-Type": "multipart/form-data"}),
    "no manifest": ("POST", "/api/v1/jobs/{job}/manifest", 400, {}),
    "too large": ("POST", "/api/v1/jobs", 413, {}),
    "not that way": ("PATCH", "/api/v1/jobs/{job}", 405, {}),
}


def test_a_refused_body_leaves_its_connection_fit_for_the_next_request(
    serving: tuple[int, str, int],
) -> None:
    port, token, job = serving
    for what, (method, path, status, headers) in REFUSED.items():
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            usual = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
            for _ in range(2):
                connection.request(
                    method, path.format(job=job), bytes(range(250)) * 4800, {**usual, **headers}
                )
                answer = connection.getresponse()
                assert answer.status == status, (what, answer.read())
                answer.read()
            # Had the server closed the connection, it would have said so and this be a new one.
            connection.request("GET", "/api/v1/jobs", headers=usual)
            last = connection.getresponse()
            assert last.status == 200, (what, last.read())


def test_a_body_in_chunks_that_is_refused_is_read_to_its_end(serving: tuple[int, str, int]) -> None:
    port, token, job = serving
    head = f"PUT /api/v1/jobs/{job}/archive HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: Bearer {token}\r\n"
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as sender:
        for _ in range(2):
            sender.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
            sender.sendall(chunk * 20 + b"0\r\n\r\n")
            answer = http.client.HTTPResponse(sender)
            answer.begin()
            assert (answer.status, b"not an archive" in answer.read()) == (400, True)


def test_the_sender_of_a_large_refused_archive_hears_why(
    serving: tuple[int, str, int], tmp_path: Path
) -> None:
    port, token, job = serving
    large = tmp_path / "large.zip"
    with large.open("wb") as file:
        file.write(b"Rar!\x1a\x07\x01\x00")
        file.truncate(60_000_000)
    client = Client(f"http://127.0.0.1:{port}", token)
    for job_id, sentence in ((job, "not an archive that can be read"), (job + 1, "no such job")):
        with large.open("rb") as file, pytest.raises(ServerError, match=f"(?i){sentence}"):
            client.send_archive(job_id, file)
    client.close()


def test_an_answer_that_comes_before_all_is_sent_is_heard() -> None:
    body = b'{"error": {"code": "conflict", "message": "The disk is full."}}'
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.recv(65536)
                head = "HTTP/1.1 409 Conflict\r\nConnection: close\r\n"
                head += f"Content-Length: {len(body)}\r\n\r\n"
                accepted.sendall(head.encode() + body)
                accepted.shutdown(socket.SHUT_WR)
                while accepted.recv(65536):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        client = Client(f"http://127.0.0.1:{listening.getsockname()[1]}", "hv_x")
        with pytest.raises(ServerError, match=r"^The disk is full\.$"):
            client.send_archive(1, io.BytesIO(bytes(30_000_000)))
        client.close()
        thread.join()


def test_who_sent_a_large_body_is_not_taken_for_the_sender_of_the_next_request(
    serving: tuple[int, str, int],
) -> None:
    """A proxy sends the requests of many people over one connection."""
    port, token, job = serving
    large = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        for headers, status in ((large, 200), ({}, 401), ({"Authorization": "Bearer hv_x"}, 401)):
            connection.request(
                "PUT", f"/api/v1/jobs/{job}/archive", bytes(range(250)) * 4800, large
            )
            assert connection.getresponse().read()
            connection.request("GET", "/api/v1/jobs", headers=headers)
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (status, True)
