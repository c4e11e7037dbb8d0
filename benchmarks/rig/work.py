"""Work for a system: images to choose, jobs of them, and people who sign in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from sqlalchemy import delete

from benchmarks.rig.system import Rig
from contract.jobs import NewJob
from core.db import Database
from core.people import accounts, tokens
from core.states import ENDED, TokenKind
from core.tables import Prediction
from hematovision.client import Client, upload
from hematovision.collecting import LocalFile, collect


def spread(folder: Path, count: int) -> list[Path]:
    """So many of a folder's images, from all over it."""
    files = [file.path for file in collect([folder])[0]]
    step = max(1, len(files) // count)
    return files[::step][:count]


def job_speed(rig: Rig, files: Sequence[Path]) -> float:
    """Images/s of one job, from queued to recorded, that has to look at every image."""
    with rig.database.writing() as session:
        session.execute(delete(Prediction))
    job_id = rig.hand_in(files)
    seconds = rig.run(job_id)
    counts = rig.counts(job_id)
    assert counts.classified + counts.duplicates == len(files), counts
    return counts.classified / seconds


def send_files(client: Client, files: Sequence[Path], name: str) -> int:
    """Open a job and send its files over HTTP, as a page does; return its id."""
    job_id = client.open_job(NewJob(name=name)).id
    list(upload(client, job_id, [LocalFile(file, file.name) for file in files], lambda _: None))
    return job_id


def has_ended(client: Client, job_id: int) -> bool:
    """Whether the API says that a job has ended."""
    return client.job(job_id).state in ENDED


def let_in(browser: Any, database: Database, email: str) -> None:
    """Sign the person with this address in, by a new link; the browser is Flask's or httpx's."""
    with database.writing() as session:
        person = accounts.find_person(session, email)
        secret = tokens.issue(session, person, TokenKind.SIGN_IN, "benchmark")
    sign_in(browser, f"/sign-in/{secret}")


def sign_in(browser: Any, link: str) -> None:
    """Open a sign-in link as its page does by itself; the browser is Flask's or httpx's."""
    token = re.search(r'name="csrf-token" content="([^"]+)"', browser.get(link).text)
    if token is None or browser.post(link, data={"csrf_token": token[1]}).status_code != 302:
        raise click.ClickException("The sign-in link does not sign in.")
