"""The supervisor, with real processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hematovision.supervisor import Program, Supervisor
from tests.waiting import until

_PATIENCE = 15.0


def _program(name: str, code: str) -> Program:
    return Program(name, [sys.executable, "-c", code])


def _pids(file: Path) -> list[int]:
    """Return the whole lines written so far; a line may still be on its way."""
    if not file.exists():
        return []
    return [int(line) for line in file.read_text().splitlines(keepends=True) if line[-1] == "\n"]


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[[list[Program]], list[str]]]:
    """Start a supervisor over the given programs; return what it says. Stops it at the end."""
    running: list[tuple[Supervisor, threading.Thread]] = []

    def start(programs: list[Program]) -> list[str]:
        sentences: list[str] = []
        supervisor = Supervisor(programs, tmp_path, sentences.append)
        supervisor.start()
        thread = threading.Thread(target=supervisor.watch)
        thread.start()
        running.append((supervisor, thread))
        return sentences

    yield start
    for supervisor, thread in running:
        supervisor.request_stop()
        thread.join(_PATIENCE)


def _noting(file: Path, then: str = "time.sleep(60)") -> str:
    return (
        f"import os, time\nwith open({str(file)!r}, 'a') as f: f.write(f'{{os.getpid()}}\\n')\n"
        + then
    )


def test_a_program_that_is_killed_is_started_again(
    tmp_path: Path, watched: Callable[[list[Program]], list[str]]
) -> None:
    pids = tmp_path / "pids"
    sentences = watched([_program("worker", _noting(pids))])
    until(lambda: len(_pids(pids)) == 1)
    os.kill(_pids(pids)[0], signal.SIGKILL)
    until(lambda: len(_pids(pids)) == 2)
    assert sentences == ["worker ended (by signal SIGKILL) and is being restarted."]


def test_a_program_that_fails_at_once_is_not_started_in_a_tight_loop(
    tmp_path: Path, watched: Callable[[list[Program]], list[str]]
) -> None:
    pids = tmp_path / "pids"
    watched([_program("web", _noting(pids, "raise SystemExit(3)"))])
    until(lambda: len(_pids(pids)) >= 2)
    time.sleep(2)
    assert len(_pids(pids)) <= 5


def test_stopping_ends_the_program_and_what_it_left_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_noting(pids)!r}])"
    supervisor = Supervisor(
        [_program("web", child + "\nimport time; time.sleep(60)")], tmp_path, print
    )
    supervisor.start()
    until(lambda: len(_pids(pids)) == 1)
    supervisor.stop()
    until(lambda: not _alive(_pids(pids)[0]))


def test_a_program_that_ignores_the_request_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hematovision.supervisor.STOP_SECONDS", 0.3)
    pids = tmp_path / "pids"
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + _noting(pids)
    supervisor = Supervisor([_program("worker", deaf)], tmp_path, print)
    supervisor.start()
    until(lambda: len(_pids(pids)) == 1)
    supervisor.stop()
    assert not _alive(_pids(pids)[0])


def test_what_a_program_prints_is_kept_in_its_log(
    tmp_path: Path, watched: Callable[[list[Program]], list[str]]
) -> None:
    watched([_program("sweep", "print('swept', flush=True); import time; time.sleep(60)")])
    until(lambda: "swept" in (tmp_path / "sweep.log").read_text())


def test_a_log_that_has_grown_large_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hematovision.supervisor._LARGEST_LOG", 10)
    (tmp_path / "web.log").write_text("much older output")
    supervisor = Supervisor([_program("web", "pass")], tmp_path, print)
    supervisor.start()
    supervisor.stop()
    assert (tmp_path / "web.log.1").read_text() == "much older output"


def test_a_program_steps_back_as_far_as_it_is_told(
    tmp_path: Path, watched: Callable[[list[Program]], list[str]]
) -> None:
    """Within its session and, where the kernel shares cores out by session, among those."""
    told, between = tmp_path / "told", Path("/proc/self/autogroup")
    code = f"import os; f = open({str(told)!r}, 'w'); print(os.nice(0), file=f); "
    if between.exists():
        code += f"print(open({str(between)!r}).read(), file=f); "
    code += "f.close(); import time; time.sleep(60)"
    before = os.nice(0)
    watched([Program("nice", [sys.executable, "-c", code], niceness=7)])
    until(lambda: told.exists() and told.read_text() != "")
    lines = told.read_text().splitlines()
    assert int(lines[0]) == min(before + 7, 19)
    assert not between.exists() or lines[1].endswith("nice 7")
