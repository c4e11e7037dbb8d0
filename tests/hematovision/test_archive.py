"""One archive from the command line: what is sent, how often, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from core.errors import ConfigurationError
from hematovision import archive
from hematovision.cli import main
from tests.contract.answers import JOB
from tests.hematovision.conftest import Answer

TAKEN: dict[str, Any] = {"accepted": 2, "refused": 0, "skipped": 0, "refusals": [], "skips": []}
Submit = Callable[..., Result]


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """What stands for an archive."""
    path = tmp_path / "slides.tar.gz"
    path.write_bytes(bytes(range(256)) * 4000)
    return path


@pytest.fixture
def submit(
    serve: Callable[[Answer], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    slides: Path,
) -> Submit:
    """Return what submits the archive to a server that answers its sending so, one by one."""
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path))

    def run(*answers: tuple[int, dict[str, Any]]) -> Result:
        left = list(answers)

        def answer(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
            body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
            if request.command != "PUT":
                return 200, json.dumps(JOB).encode()
            assert request.path == "/api/v1/jobs/4/archive"
            assert body == slides.read_bytes()
            status, content = left.pop(0)
            return status, json.dumps(content).encode()

        words = ["submit", str(slides), "--server", serve(answer), "--token", "hv_x"]
        result = CliRunner().invoke(main, words)
        assert not left
        return result

    return run


def test_an_archive_is_sent_whole_and_its_job_is_queued(submit: Submit) -> None:
    result = submit((200, TAKEN))
    assert result.exit_code == 0, result.output
    assert "Job 4 is queued" in result.output


def test_an_archive_is_sent_again_from_its_start_when_the_server_was_away(submit: Submit) -> None:
    assert submit((503, {}), (200, TAKEN)).exit_code == 0


def test_refused_files_are_named_and_the_others_counted(submit: Submit) -> None:
    refusals = [{"name": "a.png", "reason": "empty", "message": "The file is empty."}]
    skips = [
        {"name": "notes.txt", "reason": "not_image", "message": ""},
        {"name": "Thumbs.db", "reason": "system", "message": ""},
        {"name": "list.csv", "reason": "not_image", "message": ""},
    ]
    answer = TAKEN | {"refused": 3, "skipped": 8, "refusals": refusals, "skips": skips}
    output = submit((200, answer)).output
    assert "Refused: a.png: The file is empty." in output
    assert "Refused: 2 more" in output
    assert "Skipped, not an image file (by its extension): notes.txt, list.csv." in output
    assert "Skipped, a file of the operating system: Thumbs.db." in output
    assert "Skipped: 5 more" in output


def test_a_refused_archive_says_why_and_how_to_go_on(submit: Submit) -> None:
    result = submit((400, {"error": {"code": "bad_archive", "message": "It is damaged."}}))
    assert result.exit_code == 1
    assert "It is damaged. To continue, add --job 4." in result.output


def test_only_one_archive_of_a_kind_that_is_read_is_sent(tmp_path: Path, slides: Path) -> None:
    assert archive.chosen([tmp_path]) is None
    assert archive.chosen([slides]) == slides
    with pytest.raises(ConfigurationError, match="one archive at a time"):
        archive.chosen([slides, tmp_path])
    (tmp_path / "slides.RAR").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="Pack the images"):
        archive.chosen([tmp_path / "slides.RAR"])
