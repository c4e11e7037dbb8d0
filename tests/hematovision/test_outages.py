"""The command line over a database or a disk that is out of order: a sentence, no traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from core.db import Database
from core.settings import Settings
from hematovision.cli import main
from tests.conftest import SmallDisk

PASSWORD = "an unguessable horse 47"


@pytest.fixture
def runner(data: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Return a runner over an installation."""
    monkeypatch.setenv("HEMATOVISION_PASSWORD", PASSWORD)
    return CliRunner()


def sentence(runner: CliRunner, *words: str) -> str:
    """Run a command that fails; return what it says."""
    result = runner.invoke(main, words)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert result.output.startswith("Error: "), result.output
    return result.output


COMMANDS = (
    ("db", "upgrade"),
    ("user", "list"),
    ("user", "add", "x@laboratory.test", "--role", "laboratory"),
    ("user", "token", "x@laboratory.test"),
    ("model", "list"),
)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_database_on_a_disk_that_may_only_be_read(
    runner: CliRunner,
    monkeypatch: pytest.MonkeyPatch,
    small_disk: SmallDisk,
    words: tuple[str, ...],
) -> None:
    file = small_disk.root / "hematovision.db"
    shutil.copy(Settings.from_env().data / "hematovision.db", file)
    monkeypatch.setenv("HEMATOVISION_DATABASE_URL", f"sqlite:///{file}")
    small_disk.protect()
    output = sentence(runner, *words)
    assert "can't be" in output or "is read-only" in output
    small_disk.protect(on=False)


@pytest.mark.parametrize("words", COMMANDS[1:])
def test_a_database_that_is_missing_is_not_made(runner: CliRunner, words: tuple[str, ...]) -> None:
    file = Settings.from_env().data / "hematovision.db"
    file.unlink()
    assert "database can't be" in sentence(runner, *words)
    assert not file.exists()


@pytest.mark.parametrize("words", [*COMMANDS, ("web",), ("worker",), ("sweep",)])
def test_a_database_of_a_newer_version(runner: CliRunner, words: tuple[str, ...]) -> None:
    database = Database(Settings.from_env().database)
    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        session.execute(text("ALTER TABLE user RENAME TO person"))
        session.execute(text("ALTER TABLE model RENAME TO network"))
    database.dispose()
    output = sentence(runner, *words)
    assert "version" in output or "can't be used" in output


def test_a_file_that_is_no_database(runner: CliRunner) -> None:
    (Settings.from_env().data / "hematovision.db").write_bytes(b"nonsense" * 4096)
    assert "damaged" in sentence(runner, "db", "upgrade")


def test_a_store_that_is_not_mounted(runner: CliRunner) -> None:
    shutil.rmtree(Settings.from_env().blobs)
    assert "Is its disk mounted?" in sentence(runner, "db", "upgrade")
    assert not Settings.from_env().blobs.exists()
    assert runner.invoke(main, ["db", "upgrade", "--adopt-store"]).exit_code == 0
    assert runner.invoke(main, ["db", "upgrade"]).exit_code == 0


def test_up_over_a_data_folder_that_may_only_be_read(
    runner: CliRunner, small_disk: SmallDisk
) -> None:
    small_disk.protect()
    output = sentence(runner, "up", "--data", str(small_disk.root / "data"))
    assert "Read-only file system" in output
    small_disk.protect(on=False)
