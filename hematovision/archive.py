"""Sending one .zip or .tar from the command line: which file it is, and how far it has got."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from contract.uploads import ArchiveReceipt
from core.errors import ConfigurationError
from hematovision.client import Client
from lexicon.formats import ARCHIVES, PACK_ANEW, is_archive_name

_POLL_SECONDS = 0.5


def chosen(paths: list[Path]) -> Path | None:
    """Return the archive to send, or None if files and folders are to be sent.

    Raises:
        ConfigurationError: this kind of archive is not read, or other paths were given as well.
    """
    archives = [path for path in paths if path.is_file() and is_archive_name(path.name)]
    if not archives:
        return None
    if len(paths) > 1:
        raise ConfigurationError("Send one archive at a time, without other files.")
    if not archives[0].name.lower().endswith(ARCHIVES):
        raise ConfigurationError(
            f"{archives[0].name} can't be read here. {PACK_ANEW}, or send their folder."
        )
    return archives[0]


def send(
    client: Client, job_id: int, path: Path, progress: Callable[[int, int], None]
) -> ArchiveReceipt:
    """Send an archive; return the server's counts of its files and the first refusals.

    ``progress`` is told, now and then, the bytes sent and the files that the job holds so far.

    Raises:
        ServerError: as `Client.send_archive`.
    """
    with path.open("rb") as file, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.send_archive, job_id, file)
        while wait([sending], _POLL_SECONDS).not_done:
            progress(file.tell(), client.job(job_id).counts.received)
        return sending.result()
