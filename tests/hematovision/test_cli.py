"""The command line itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from core.settings import Settings, table
from hematovision import local
from hematovision.cli import COMMANDS, main


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """A runner whose home is empty."""
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path))
    return CliRunner()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_has_help(runner: CliRunner, name: str) -> None:
    result = runner.invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output


def test_the_list_names_every_command_without_loading_one() -> None:
    code = (
        "import sys; from hematovision.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "bad = {'tensorflow', 'onnxruntime', 'flask', 'reportlab'} & set(sys.modules)\n"
        "sys.exit(f'loaded {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_an_unknown_setting_is_named_not_traced(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMATOVISION_SHARDSIZE", "7")
    result = runner.invoke(main, ["settings"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: There is no setting HEMATOVISION_SHARDSIZE")


def test_the_settings_are_listed_and_the_key_is_not_shown(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMATOVISION_SECRET_KEY", "s" * 40)
    result = runner.invoke(main, ["settings", "--json"])
    assert "s" * 40 not in result.output
    assert all(
        row.variable.removeprefix("HEMATOVISION_").lower() in result.output for row in table()
    )


def test_submitting_without_a_server_says_how_to_start_one(
    runner: CliRunner, tmp_path: Path
) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    result = runner.invoke(main, ["submit", str(tmp_path / "1.png")])
    assert result.exit_code == 1
    assert "hematovision up" in result.output


def test_a_report_that_asks_for_nothing_says_what_to_ask_for(runner: CliRunner) -> None:
    result = runner.invoke(main, ["report", "1"])
    assert result.exit_code == click.UsageError.exit_code
    assert "--pdf" in result.output


def test_people_are_added_listed_and_given_tokens(runner: CliRunner) -> None:
    assert runner.invoke(main, ["db", "upgrade"]).exit_code == 0
    options = ["--role", "clinician", "--password", "long enough 1"]
    assert runner.invoke(main, ["user", "add", "c@example.org", *options]).exit_code == 0
    assert "c@example.org\tclinician\tactive" in runner.invoke(main, ["user", "list"]).output
    assert runner.invoke(main, ["user", "token", "c@example.org"]).output.startswith("hv_")


def test_a_token_for_nobody_is_refused(runner: CliRunner) -> None:
    runner.invoke(main, ["db", "upgrade"])
    result = runner.invoke(main, ["user", "token", "x@example.org"])
    assert result.exit_code == 1 and "x@example.org" in result.output


def test_the_link_of_a_host_that_listens_everywhere_opens_on_this_machine() -> None:
    assert local.address(Settings(host="0.0.0.0", port=8001)) == "http://127.0.0.1:8001"
    assert local.address(Settings(host="::1", port=8001)) == "http://[::1]:8001"


def test_the_queue_server_refuses_when_full_and_writes_to_disk(tmp_path: Path) -> None:
    command = local.redis_command(tmp_path / "redis", tmp_path / "r.sock")
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--appendonly"] == "yes"
    assert options["--port"] == "0"


def test_what_commands_make_is_their_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path / "data"))
    before = os.umask(0o022)
    try:
        assert CliRunner().invoke(main, ["db", "upgrade"]).exit_code == 0
    finally:
        os.umask(before)
    file = tmp_path / "data" / "hematovision.db"
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("mode", "closed"), [(0o644, 0o600), (0o664, 0o660), (0o600, 0o600)])
def test_an_upgrade_closes_a_database_that_was_made_readable_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, closed: int
) -> None:
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path))
    assert CliRunner().invoke(main, ["db", "upgrade"]).exit_code == 0
    file = tmp_path / "hematovision.db"
    file.chmod(mode)
    assert CliRunner().invoke(main, ["db", "upgrade"]).exit_code == 0
    assert file.stat().st_mode & 0o777 == closed


@pytest.mark.parametrize("command", ["up", "web"])
def test_opening_the_pages_to_the_network_without_tls_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path))
    monkeypatch.setenv("HEMATOVISION_HOST", "0.0.0.0")
    # Neither comes to serve: the port is taken, or the secret is missing.
    with socket.create_server(("0.0.0.0", 0)) as busy:
        monkeypatch.setenv("HEMATOVISION_PORT", str(busy.getsockname()[1]))
        done = CliRunner().invoke(main, [command])
    assert done.exit_code == 1
    assert "reached from the network without encryption" in done.output
