"""What is said while a disk is full, gone or read-only or the broker frozen; how soon it is over.

    sudo python -m benchmarks.outages ../shared/data/bccd4/TRAIN --seconds 60

A new `hematovision up` has its data and its image store on two disks of their own, on loop devices.
A job is under way when the fault begins. While it lasts, `/healthz`, the job's page, the API and
the terminal are asked for what they show, and for taking in another file. Then the fault is lifted,
and the seconds are counted until health is reported, until a new image is judged, and until the job
has ended; so is every image of it that failed.

Needs root, loop devices and mkfs.ext4, and says so where it can't run.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
import psutil

from benchmarks.rig import (
    broker_below,
    disks,
    frozen,
    has_ended,
    send_files,
    sign_in,
    spread,
    until,
    up,
)
from contract.jobs import JobCounts, NewJob, Submission
from contract.uploads import Manifest, ManifestAnswer, ProblemPage
from hematovision.client import Client, connection
from hematovision.collecting import LocalFile

_PATIENCE = 240.0
# A command that goes on trying is given up after so many seconds; that it tries is the finding.
_COMMAND_SECONDS = 20
_SHOWN = 400


@dataclass(frozen=True)
class House:
    """A system that runs, its two disks, and somebody who has signed in."""

    data: Path
    store: Path
    top: psutil.Process
    client: Client
    browser: httpx.Client
    token: str

    def command(self, *words: str) -> str:
        """Run a command; return its status, or that it was still trying, and what it printed."""
        with subprocess.Popen(
            [sys.executable, "-m", "hematovision", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"HEMATOVISION_DATA": str(self.data)},
        ) as process:
            try:
                output, _ = process.communicate(timeout=_COMMAND_SECONDS)
                status = str(process.returncode)
            except subprocess.TimeoutExpired:
                process.kill()
                output, status = process.communicate()[0], "still trying"
        return f"{status}: {' | '.join(output.split(chr(10))).strip(' |')[-_SHOWN:]}"

    def answer(self, method: str, path: str, body: bytes = b"", kind: str = "") -> str:
        """Send a request; return its status and what its body says."""
        headers = {"Authorization": f"Bearer {self.token}"} if path.startswith("/api") else {}
        if kind:
            headers["Content-Type"] = kind
        began = time.monotonic()
        try:
            answer = self.browser.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            return f"no answer: {type(error).__name__}"
        seconds = time.monotonic() - began
        return f"{answer.status_code} after {seconds:.1f} s: {_sentence(answer.text)}"


def _sentence(text: str) -> str:
    """Return what a page's main part says, without its marks; JSON as it is."""
    main = re.search(r"<main.*?</main>", text, re.DOTALL)
    words = re.sub(r"<(script|style|svg).*?</\1>|<[^>]+>", " ", main[0] if main else text)
    return html.unescape(" ".join(words.split()))[:_SHOWN]


@contextmanager
def full(house: House) -> Iterator[None]:
    """No byte is left on either disk."""
    ballasts = [disk / "ballast" for disk in {house.data.parent, house.store.parent}]
    try:
        for ballast in ballasts:
            _fill(ballast)
        yield
    finally:
        for ballast in ballasts:
            ballast.unlink()


def _fill(ballast: Path) -> None:
    with ballast.open("wb") as file:
        end = 0
        for size in (2**27, 2**20, 4096):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), end, size)
                    end += size


@contextmanager
def unmounted(house: House) -> Iterator[None]:
    """The store's disk is not where it was."""
    disk = str(house.store.parent)
    device = disks.run("findmnt", "-n", "-o", "SOURCE", disk).strip()
    disks.run("umount", "--lazy", disk)
    try:
        yield
    finally:
        disks.run("mount", device, disk)


@contextmanager
def read_only(house: House) -> Iterator[None]:
    """The database's files can't be written to, by those who have them open either."""
    files = [str(house.data / f"hematovision.db{end}") for end in ("", "-wal")]
    disks.run("chattr", "+i", *files)
    try:
        yield
    finally:
        disks.run("chattr", "-i", *files)


def silent(house: House) -> AbstractContextManager[None]:
    """The broker takes connections and answers nothing."""
    return frozen(broker_below(house.top).pid)


FAULTS = {"full": full, "unmounted": unmounted, "read-only": read_only, "frozen": silent}


@contextmanager
def living(work: Path, port: int) -> Iterator[House]:
    """Run a system on two disks of its own until the body ends."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(disks.mounted(disks.new_disk(work / f"{name}.img"), work / name))
            for name in ("first", "second")
        )
        data, store = first / "data", second / "store"
        env = {"HEMATOVISION_BLOB_ROOT": str(store)}
        top, link = stack.enter_context(up(data, port, workers=2, env=env))
        token = json.loads((data / "client.json").read_text(encoding="utf-8"))["token"]
        client = connection(data, None, None)
        stack.callback(client.close)
        browser = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
        )
        sign_in(browser, link)
        yield House(data, store, top, client, browser, token)


def hand_in(client: Client, files: Sequence[Path], name: str) -> int:
    """Send files and submit them as a job; return its id."""
    job_id = send_files(client, files, name)
    client.submit(job_id, Submission())
    return job_id


def await_file(client: Client, file: Path) -> str:
    """Open a job that waits for one file; return the path under which it is to be sent."""
    job_id = client.open_job(NewJob(name="waits for a file")).id
    manifest = Manifest(files=[LocalFile(file, file.name).entry()])
    [line] = client.post(f"/jobs/{job_id}/manifest", ManifestAnswer, manifest).files
    return f"/api/v1/jobs/{job_id}/images/{line.id}"


def ask(house: House, job_id: int, awaited: Path, waiting: str, file: Path) -> None:
    """Print what everything says while the fault lasts; ``waiting`` is where ``awaited`` goes."""
    raw = "application/octet-stream"
    answers = {
        "healthz": house.answer("GET", "/healthz"),
        "page": house.answer("GET", f"/jobs/{job_id}"),
        "API, job": house.answer("GET", f"/api/v1/jobs/{job_id}"),
        "API, new job": house.answer("POST", "/api/v1/jobs", b'{"name": "in the fault"}'),
        "API, file": house.answer("PUT", waiting, awaited.read_bytes(), raw),
        "status": house.command("status"),
        "submit": house.command("submit", str(file)),
    }
    for asked, answer in answers.items():
        click.echo(f"  {asked}: {answer}")


def measure(house: House, name: str, files: Sequence[Path], seconds: float) -> None:
    """Print what is said in one fault, and what comes after."""
    large, first, second, third = files[:-3], files[-3], files[-2], files[-1]
    waiting = await_file(house.client, first)
    job_id = hand_in(house.client, large, "under way")
    until(lambda: _counts(house, job_id).classified > 0, _PATIENCE)
    began = time.monotonic()
    click.echo(f"— {name} for {seconds:.0f} s, in a job of {len(large):,} —")
    with FAULTS[name](house):
        time.sleep(3)
        ask(house, job_id, first, waiting, second)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    lifted = time.monotonic()
    fit = until(lambda: house.browser.get("/healthz").json()["problems"] == [], _PATIENCE) - lifted
    sent = house.answer("PUT", waiting, first.read_bytes(), "application/octet-stream")
    new = hand_in(house.client, [third], "after")
    judged = until(lambda: has_ended(house.client, new), _PATIENCE) - lifted
    ended = until(lambda: has_ended(house.client, job_id), _PATIENCE) - lifted
    counts = _counts(house, job_id)
    click.echo(
        f"  after: healthy {fit:.1f} s, new image judged {judged:.1f} s, job ended {ended:.1f} s"
    )
    click.echo(f"  the file sent again: {sent}")
    click.echo(f"  job: {counts.classified:,} classified, {counts.failed} failed")
    problems = house.client.get(f"/jobs/{job_id}/problems", ProblemPage).files
    for message, count in Counter(str(file.message) for file in problems).items():
        click.echo(f"  failed: {count} {message}")


def _counts(house: House, job_id: int) -> JobCounts:
    return house.client.job(job_id).counts


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--seconds", default=60.0, show_default=True, help="How long each fault lasts.")
@click.option("--images", default=3000, show_default=True, help="Size of the job under way.")
@click.option("--only", multiple=True, type=click.Choice(list(FAULTS)), help="Some of them.")
@click.option("--port", default=8768, show_default=True, help="Port of the system under test.")
def main(folder: Path, seconds: float, images: int, only: Sequence[str], port: int) -> None:
    """Print what people are told in each fault, with images of FOLDER."""
    if problem := disks.obstacle("findmnt", "chattr"):
        raise click.ClickException(f"This can't run here: {problem}.")
    files = spread(folder, images + 3)
    for name in only or FAULTS:
        with tempfile.TemporaryDirectory() as work, living(Path(work), port) as house:
            measure(house, name, files, seconds)


if __name__ == "__main__":
    main()
