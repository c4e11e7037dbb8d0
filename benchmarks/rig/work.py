"""Work for a system: images to choose, and jobs of them, handed in and waited for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import delete

from benchmarks.rig.system import Rig
from core.states import ENDED
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
    job_id = int(client.call("POST", "/jobs", {"name": name})["id"])
    list(upload(client, job_id, [LocalFile(file, file.name) for file in files], lambda _: None))
    return job_id


def has_ended(client: Client, job_id: int) -> bool:
    """Whether the API says that a job has ended."""
    return client.call("GET", f"/jobs/{job_id}")["state"] in ENDED
