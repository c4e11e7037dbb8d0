"""Archives as tests make them, send them, and look at what became of their files."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.core.archiving import tar_of
from tests.web.conftest import Api, content

A = "a@laboratory.test"
Files = dict[str, bytes]
Pack = Callable[[Files], bytes]


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a .zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def twice_zipped(files: Files) -> bytes:
    """Return a .zip that holds each file two times."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in (*files.items(), *files.items()):
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: Files, mode: str = "w", kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a .tar, or a .tar.gz where ``mode`` says so."""
    return tar_of(kind, files, mode)


def tar_gz(files: Files) -> bytes:
    """Return a .tar.gz."""
    return tarred(files, "w:gz")


every_kind = pytest.mark.parametrize("pack", [zipped, tarred, tar_gz])


def put(api: Api, job: int, archive: bytes, email: str = A, **options: Any) -> TestResponse:
    """Send an archive to a job."""
    return api("PUT", f"/jobs/{job}/archive", email, data=archive, **options)


def states(api: Api, job: int) -> dict[str, str]:
    """Return what became of each file of a job, by name."""
    states_by_name: dict[str, str] = {}
    for state in ("received", "refused", "expected"):
        page = content(api("GET", f"/jobs/{job}/images?state={state}&size=100"))
        states_by_name |= {image["name"]: image["reason"] or state for image in page["images"]}
    return states_by_name


def skipped(api: Api, job: int) -> dict[str, str]:
    """Return why each file was skipped that stood among a job's images, by name."""
    page = content(api("GET", f"/jobs/{job}/skipped?size=100"))
    return {file["name"]: file["reason"] for file in page["files"]}


def problem(answer: TestResponse) -> str:
    """Return the sentence of an answer that is an error."""
    assert answer.status_code == 400, answer.text
    return str(content(answer)["error"]["message"])
