"""The HTTP client of the command line: it submits a batch, follows it, and fetches its results.

Every call is repeated while the server is away, so a server restart costs time but no work.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import httpx
from pydantic import ValidationError

from contract.base import Answer, Request
from contract.errors import ErrorAnswer
from contract.jobs import JobDetails, NewJob, Submission
from contract.reports import ReportOrder, ReportStatus
from contract.uploads import (
    AnnouncedFile,
    ArchiveReceipt,
    FileStatus,
    Manifest,
    ManifestAnswer,
    ManifestLine,
    UnsentFile,
)
from core.blobs import durable
from core.errors import ConfigurationError, HematoVisionError
from core.states import ENDED
from hematovision.collecting import LocalFile
from lexicon.folders import Skip

MANIFEST_PAGE = 500
_PARALLEL = 4
_PATIENCE_SECONDS = 120.0
# Uploads wait longer if the server says what is wrong: somebody may be repairing a disk.
_OUT_OF_ORDER_SECONDS = 3600.0
_TELL_AGAIN_SECONDS = 60.0
_TAKING_IN_SECONDS = 3600.0
_AWAY = {429, 502, 503, 504, 507}
_LONGEST_PAUSE = 5.0
# The longest pause that a server may ask for.
_LONGEST_ASKED_PAUSE = 60.0
_CHUNK = 256 * 1024
# States of a file that is not part of the job: the server refused it, or it can't be read.
LEFT_OUT = {"refused", "missing"}
A = TypeVar("A", bound=Answer)


class ServerError(HematoVisionError):
    """The server refused, or could not be reached for too long. The message says which."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of sending one file; ``message`` says why it was refused."""

    file: LocalFile
    state: str
    message: str | None


def connection(data: Path, server: str | None, token: str | None) -> Client:
    """Return a client for the given server, or for the one that runs on this machine.

    Raises:
        ConfigurationError: no server is given and none is running here.
    """
    note: dict[str, str] = {}
    with suppress(FileNotFoundError):
        note = json.loads((data / "client.json").read_text(encoding="utf-8"))
    # The note's token belongs to the note's server; it is never sent to another.
    own = server is None or server.rstrip("/") == note.get("server")
    address = server or note.get("server")
    secret = token or (note.get("token") if own else None)
    if not address or not secret:
        raise ConfigurationError(
            "No server was found. Start one with `hematovision up`, or give --server and --token "
            "(create a token on the account page)."
        )
    return Client(address, secret)


class Client:
    """Talks to one server as one person; ``waiting`` is called with the reason for each wait."""

    def __init__(self, server: str, token: str) -> None:
        self.server = server.rstrip("/")
        self.waiting: Callable[[str], None] = lambda _sentence: None
        self._told: dict[str, float] = {}
        self._http = httpx.Client(
            base_url=f"{self.server}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(60, connect=5),
            limits=httpx.Limits(max_connections=_PARALLEL + 1),
        )

    def close(self) -> None:
        """Close the connections. A command that is about to exit need not call it."""
        self._http.close()

    def get(self, path: str, kind: type[A]) -> A:
        """Return what is at ``path``. Raises `ServerError` with the server's own sentence."""
        return _read(self._patiently("GET", path), kind)

    def get_text(self, path: str) -> str:
        """Return the JSON at ``path`` as the server sent it. Raises as `get`."""
        return self._patiently("GET", path).text

    def post(self, path: str, kind: type[A], body: Request | None = None) -> A:
        """Send a request and return its answer. Raises as `get`."""
        # All repeats carry the same key, so nothing is created twice if an answer is lost.
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        values = body.model_dump(by_alias=True, exclude_unset=True) if body else None
        return _read(self._patiently("POST", path, json=values, headers=headers), kind)

    def delete(self, path: str, kind: type[A]) -> A:
        """Delete what is at ``path``. Raises as `get`."""
        return _read(self._patiently("DELETE", path), kind)

    def open_job(self, new: NewJob) -> JobDetails:
        """Open a job that receives files. Raises as `get`."""
        return self.post("/jobs", JobDetails, new)

    def submit(self, job_id: int, how: Submission) -> JobDetails:
        """Have a job's files classified. Raises as `get`."""
        return self.post(f"/jobs/{job_id}/submit", JobDetails, how)

    def job(self, job_id: int) -> JobDetails:
        """Return a job. Raises as `get`."""
        return self.get(f"/jobs/{job_id}", JobDetails)

    def send(self, job_id: int, image_id: int, file: LocalFile) -> Sent:
        """Send one file's bytes."""
        path = f"/jobs/{job_id}/images/{image_id}"
        try:
            content = file.path.read_bytes()
        except OSError as error:
            return _unreadable(file, error)
        status = _read(self._patiently("PUT", path, content=content), FileStatus)
        return Sent(file, status.state, status.message)

    def send_archive(self, job_id: int, file: BinaryIO) -> ArchiveReceipt:
        """Send a .zip or .tar, starting again from the beginning if the connection breaks.

        The server takes no file twice. It answers once it has all the files, which may take long.
        """
        timeout = httpx.Timeout(60, connect=5, read=_TAKING_IN_SECONDS)
        path, whole = f"/jobs/{job_id}/archive", _Whole(file)
        response = self._patiently("PUT", path, content=whole, timeout=timeout)
        return _read(response, ArchiveReceipt)

    def download(self, path: str, target: Path) -> None:
        """Download ``path`` to ``target``, completely or not at all."""
        aside = target.with_name(f"{target.name}.part")
        try:
            self._stream(path, aside)
            durable.replace(aside, target)
        except httpx.TransportError as error:
            raise ServerError(f"The download was interrupted ({error}). Try again.") from error
        finally:
            aside.unlink(missing_ok=True)

    def _stream(self, path: str, target: Path) -> None:
        with self._http.stream("GET", path) as response, target.open("wb") as file:
            if response.is_error:
                response.read()
                _raise(response)
            for chunk in response.iter_bytes():
                file.write(chunk)
            file.flush()
            durable.flush(file.fileno())

    def _patiently(self, method: str, path: str, **content: Any) -> httpx.Response:
        patience = _Patience()
        while True:
            try:
                response = self._http.request(method, path, **content)
            except httpx.TransportError as error:
                patience.wait(f"{self._http.base_url.host} does not answer ({error}).")
                continue
            if response.status_code not in _AWAY:
                return response if response.is_success else _raise(response)
            sentence = _sentence(response)
            if sentence and response.status_code != 429:
                self.tell(sentence)
                longest = _PATIENCE_SECONDS if method == "GET" else _OUT_OF_ORDER_SECONDS
                patience.wait(sentence, longest, _asked_pause(response))
            else:
                problem = f"The server answered {response.status_code}."
                patience.wait(problem, asked=_asked_pause(response))

    def tell(self, sentence: str) -> None:
        """Say what is being waited for, if anything, but not once per waiting file."""
        now = time.monotonic()
        if sentence and now - self._told.get(sentence, -_TELL_AGAIN_SECONDS) >= _TELL_AGAIN_SECONDS:
            self._told[sentence] = now
            self.waiting(sentence)


class _Patience:
    """Decides how long one call is repeated, and pauses between tries."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._waited = False
        self._pause = 0.2

    def wait(self, problem: str, seconds: float | None = None, asked: float = 0.0) -> None:
        """Pause before the next try. Raises `ServerError` after trying for ``seconds``."""
        now = time.monotonic()
        if not self._waited:
            # The time a long upload ran before it broke does not count as waiting.
            self._began, self._waited = now, True
        if now - self._began > (_PATIENCE_SECONDS if seconds is None else seconds):
            raise ServerError(f"{problem} Is the server up? What was sent is kept; try again.")
        self._pause = max(self._pause, asked)
        time.sleep(self._pause)
        self._pause = min(_LONGEST_PAUSE, self._pause * 2)


def _asked_pause(response: httpx.Response) -> float:
    """Return how many seconds the server asks us to wait."""
    seconds = response.headers.get("Retry-After", "")
    if not (seconds.isascii() and seconds.isdigit()):
        return 0.0
    return min(float(seconds), _LONGEST_ASKED_PAUSE)


class _Whole:
    """A file as a request body, read from the start each time it is sent."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # httpx asks it for the length, which goes ahead of the bytes.
        self.fileno = file.fileno

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            yield chunk


def _read(response: httpx.Response, kind: type[A]) -> A:
    """Return an answer's body. Raises `ServerError` if it is not what this version reads."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        fault = f"{key}: {first['msg']}" if key else first["msg"]
        raise ServerError(
            f"The server's answer can't be read ({fault}): it runs another version than this"
            " command. Install the same version here as on the server."
        ) from error


class Rejected(ServerError):
    """Raise `ServerError` for an answer that refuses the request."""


def _raise(response: httpx.Response) -> httpx.Response:
    message = _sentence(response)
    if response.status_code == 401:
        message = "The server does not accept this token. Create a new one on the account page."
    answered = f"The server answered {response.status_code} {response.reason_phrase}."
    raise Rejected(message or answered)


def _sentence(response: httpx.Response) -> str:
    """Return the server's own error message, or "" if it sent none."""
    try:
        return ErrorAnswer.model_validate_json(response.content).error.message
    except ValidationError:
        return ""


def upload(
    client: Client, job_id: int, files: list[LocalFile], progress: Callable[[Sent], None]
) -> Iterator[Sent]:
    """Announce the files, send those the server needs, and yield those left out."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for start in range(0, len(files), MANIFEST_PAGE):
            entries = list(pool.map(_entry, files[start : start + MANIFEST_PAGE]))
            unreadable = [entry for entry in entries if isinstance(entry, Sent)]
            page = [entry for entry in entries if not isinstance(entry, Sent)]
            lines = _announce(client, job_id, Manifest(files=[entry for _, entry in page])).files
            pairs = [(file, line) for (file, _), line in zip(page, lines, strict=True)]
            outcomes = pool.map(lambda pair: _send_if_needed(client, job_id, *pair), pairs)
            for sent in (*unreadable, *outcomes):
                progress(sent)
                if sent.state in LEFT_OUT:
                    yield sent


def _announce(client: Client, job_id: int, manifest: Manifest) -> ManifestAnswer:
    return client.post(f"/jobs/{job_id}/manifest", ManifestAnswer, manifest)


def tell_skipped(client: Client, job_id: int, skips: list[Skip]) -> None:
    """Tell the server which files were skipped, so that the job lists them."""
    for start in range(0, len(skips), MANIFEST_PAGE):
        page = skips[start : start + MANIFEST_PAGE]
        unsent = tuple(UnsentFile(name=skip.name, reason=skip.reason) for skip in page)
        _announce(client, job_id, Manifest(files=[], skipped=unsent))


def _entry(file: LocalFile) -> tuple[LocalFile, AnnouncedFile] | Sent:
    try:
        return file, file.entry()
    except OSError as error:
        return _unreadable(file, error)


def _unreadable(file: LocalFile, error: OSError) -> Sent:
    """Return the result for a file that vanished or can't be read; the others are still sent."""
    return Sent(file, "missing", f"The file can't be read: {error.strerror}.")


def _send_if_needed(client: Client, job_id: int, file: LocalFile, line: ManifestLine) -> Sent:
    return (
        client.send(job_id, line.id, file) if line.needed else Sent(file, line.state, line.message)
    )


def follow(client: Client, job_id: int, progress: Callable[[JobDetails], None]) -> JobDetails:
    """Poll a job until it has ended; return its last state."""
    while True:
        job = client.job(job_id)
        progress(job)
        if job.state in ENDED:
            return job
        time.sleep(0.5)


def fetch_report(client: Client, job_id: int, paper: str, target: Path) -> None:
    """Request a job's PDF, wait for it, and write it to ``target``.

    Raises:
        ServerError: the report could not be created.
    """
    report = client.post(f"/jobs/{job_id}/reports", ReportStatus, ReportOrder(paper=paper))
    while report.state not in {"ready", "failed"}:
        client.tell(report.message or "")
        time.sleep(0.3)
        report = client.get(f"/reports/{report.id}", ReportStatus)
    if report.state == "failed":
        raise ServerError(f"The report could not be created: {report.message}")
    client.download(f"/reports/{report.id}/pdf", target)
