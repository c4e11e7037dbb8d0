"""The whole system while its image store is not mounted: nothing fails, and work goes on after."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contract.jobs import NewJob, Submission
from hematovision.client import upload
from hematovision.collecting import collect
from tests.system.stack import Stack
from tests.waiting import until


class Mount:
    """A store's folder that can be unmounted and mounted again."""

    def __init__(self, folder: Path) -> None:
        self._files, self.folder = folder / "files", folder / "store"
        self._files.mkdir()
        self.folder.mkdir()

    def attach(self) -> None:
        """Mount it."""
        subprocess.run(["mount", "--bind", str(self._files), str(self.folder)], check=True)

    def detach(self) -> None:
        """Unmount it, whoever has files of it open."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Yield a store on a mount of its own, or skip without root."""
    if os.geteuid() != 0:
        pytest.skip("mounting a store needs root")
    mount = Mount(tmp_path)
    try:
        mount.attach()
    except subprocess.CalledProcessError:
        pytest.skip("nothing can be mounted here")
    yield mount
    # Whether it is still mounted is not seen by its device: that is the folder's own.
    subprocess.run(["umount", "--lazy", str(mount.folder)], capture_output=True, check=False)


def test_a_store_that_is_unmounted_in_the_midst_of_a_job_fails_no_image(
    mount: Mount, tmp_path: Path, data_folder: Path
) -> None:
    env = {"HEMATOVISION_BLOB_ROOT": str(mount.folder), "HEMATOVISION_LEASE_SECONDS": "2"}
    stack = Stack(tmp_path / "data", "--workers", "1", env=env)
    client = stack.client()
    log = stack.data / "logs" / "worker.log"
    until(lambda: "is ready" in log.read_text())
    job_id = client.open_job(NewJob(name="unmounted")).id
    list(upload(client, job_id, collect([data_folder / "bccd4" / "TEST"])[0][:60], lambda _: None))
    mount.detach()
    client.submit(job_id, Submission())
    until(lambda: httpx.get(f"{stack.url}/healthz").status_code == 503)
    assert httpx.get(f"{stack.url}/healthz").json()["problems"] == ["store_away"]
    until(lambda: "tried again later" in log.read_text())
    counts = client.job(job_id).counts
    assert (counts.failed, counts.classified) == (0, 0)
    assert list(mount.folder.iterdir()) == []
    mount.attach()
    until(lambda: client.job(job_id).state == "finished")
    assert client.job(job_id).counts.failed == 0
    assert httpx.get(f"{stack.url}/healthz").status_code == 200
    stack.stop()


def test_a_store_that_is_not_mounted_at_the_start_is_named(mount: Mount, tmp_path: Path) -> None:
    env = {"HEMATOVISION_BLOB_ROOT": str(mount.folder)}
    first = Stack(tmp_path / "data", "--workers", "1", env=env)
    first.link()
    first.stop()
    mount.detach()
    second = Stack(tmp_path / "data", "--workers", "1", env=env)
    assert second.wait() == 1
    assert "Is its disk mounted?" in second.output
    assert "Traceback" not in second.output
    assert list(mount.folder.iterdir()) == []
