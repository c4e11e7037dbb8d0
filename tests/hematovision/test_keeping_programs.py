"""The supervisor's patience: how long it pauses, in which order it stops, and what it passes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hematovision import supervisor as module
from hematovision.supervisor import Program, Supervisor

PATIENCE = 20.0


class Clock:
    """A clock that stands still until it is told; it counts how often it was looked at."""

    def __init__(self) -> None:
        self.now, self.looks = 1000.0, 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock by which the supervisor counts its pauses."""
    told = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=told))
    return told


class Watching(Supervisor):
    """A supervisor that watches in a thread of its own."""

    def begin(self) -> None:
        """Start the programs and watch them."""
        self.start()
        self._thread = threading.Thread(target=self.watch)
        self._thread.start()

    def join(self) -> None:
        """Wait until it has stopped everything."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


Watch = Callable[..., tuple[Watching, list[str]]]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Start a supervisor of shell programs by name; return it and what it says."""
    started: list[Watching] = []

    def start(**scripts: str) -> tuple[Watching, list[str]]:
        said: list[str] = []
        programs = [shell(name, script) for name, script in scripts.items()]
        watching = Watching(programs, tmp_path, said.append)
        watching.begin()
        started.append(watching)
        return watching, said

    yield start
    for watching in started:
        watching.request_stop()
        watching.join()


def shell(name: str, script: str, **env: str) -> Program:
    """Return a program that is quick to start."""
    return Program(name, ["/bin/sh", "-c", script], env)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen."""
    deadline = time.perf_counter() + PATIENCE
    while not condition():
        assert time.perf_counter() < deadline, "it never happened"
        threading.Event().wait(0.01)


def look_on(clock: Clock) -> None:
    """Wait until the supervisor has looked at its clock some more.

    Twice is not enough: it looks twice for a start. A third look, if it has started the program,
    is for an end, and then the program has written what it writes.
    """
    looks = clock.looks
    until(lambda: clock.looks >= looks + 3)


def lines(file: Path) -> list[str]:
    """Return the lines of a file that may not be there yet."""
    return file.read_text().splitlines() if file.exists() else []


LASTING = 'trap "exit 0" TERM; while :; do sleep 0.05; done'


def test_the_pause_before_a_restart_doubles_up_to_a_limit(
    tmp_path: Path, watch: Watch, clock: Clock
) -> None:
    starts = tmp_path / "starts"
    _, said = watch(web=f"echo x >> {starts}; exit 3")
    for count, pause in enumerate((0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0), start=1):
        until(lambda n=count: len(said) == n)  # type: ignore[misc]
        if count in (1, 2, 7, 8):
            clock.now += pause - 0.01
            look_on(clock)
            assert len(lines(starts)) == count, "it is not started before its pause is over"
            clock.now += 0.02
        else:
            clock.now += pause + 0.01
        until(lambda n=count: len(lines(starts)) == n + 1)  # type: ignore[misc]
    assert set(said) == {
        f"web ended (exit status 3, see {tmp_path / 'web.log'}) and is being restarted."
    }


def test_a_program_that_ran_for_long_is_started_again_at_once(
    tmp_path: Path, watch: Watch, clock: Clock
) -> None:
    starts, go = tmp_path / "starts", tmp_path / "go"
    wait = f"while [ ! -e {go} ]; do sleep 0.02; done; rm {go}; exit 1"
    _, said = watch(worker=f"echo x >> {starts}; {wait}")
    for count, ran, pause in ((1, 1, 0.2), (2, 1, 0.4), (3, 21, 0.2), (4, 1, 0.4)):
        until(lambda n=count: len(lines(starts)) == n)  # type: ignore[misc]
        clock.now += ran
        go.touch()
        until(lambda n=count: len(said) == n)  # type: ignore[misc]
        clock.now += pause - 0.01
        look_on(clock)
        assert len(lines(starts)) == count
        clock.now += 0.02
    until(lambda: len(lines(starts)) == 5)


def test_programs_are_asked_to_end_in_reverse_order_each_after_the_other_is_gone(
    tmp_path: Path, watch: Watch
) -> None:
    ends, ready = tmp_path / "ends", tmp_path / "ready"

    def script(name: str) -> str:
        farewell = f"sleep 0.1; echo {name} >> {ends}; exit 0"
        return f'trap "{farewell}" TERM; echo x >> {ready}; while :; do sleep 0.02; done'

    names = ("redis", "worker", "web")
    watching, said = watch(**{name: script(name) for name in names})
    until(lambda: len(lines(ready)) == 3)
    watching.request_stop(signal.SIGTERM, None)
    assert watching.stopping
    until(lambda: len(lines(ends)) == 3)
    assert lines(ends) == list(reversed(names))
    assert said == [], "a stop is no end that must be told"


def test_a_program_that_ends_well_is_started_again_too_and_the_others_go_on(
    tmp_path: Path, watch: Watch
) -> None:
    starts, other = tmp_path / "starts", tmp_path / "other"
    _, said = watch(sweep=f"echo x >> {starts}; exit 0", web=f"echo x >> {other}; {LASTING}")
    until(lambda: len(lines(starts)) >= 2)
    assert said[0].startswith("sweep ended (exit status 0, ")
    assert len(lines(other)) == 1
    assert not any(line.startswith("web") for line in said)


def test_nothing_is_started_again_after_the_stop(
    tmp_path: Path, watch: Watch, clock: Clock
) -> None:
    starts = tmp_path / "starts"
    watching, said = watch(web=f"echo x >> {starts}; exit 3")
    until(lambda: len(said) == 1)
    watching.request_stop()
    clock.now += 60
    watching.join()
    assert len(lines(starts)) == 1


def test_where_one_program_is_missing_those_before_it_are_ended_by_the_stop(
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    programs = [shell("redis", f"echo $$ >> {pids}; {LASTING}"), Program("web", ["/no/such/one"])]
    watching = Supervisor(programs, tmp_path, print)
    with pytest.raises(FileNotFoundError):
        watching.start()
    until(lambda: len(lines(pids)) == 1)
    watching.stop()
    assert not Path(f"/proc/{lines(pids)[0]}").exists()
    watching.stop()


def test_a_program_gets_its_own_environment_beside_that_of_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTER", "outer")
    monkeypatch.setenv("BOTH", "outer")
    out = tmp_path / "out"
    # Its input is empty: what asks a question must not hang.
    script = f'read line; echo "$OUTER $BOTH $INNER [$line]" > {out}.part; mv {out}.part {out}'
    watching = Supervisor([shell("web", script, BOTH="own", INNER="own")], tmp_path, print)
    asked, answers = os.pipe()
    os.write(answers, b"of the terminal\n")
    terminal = os.dup(0)
    os.dup2(asked, 0)
    try:
        watching.start()
    finally:
        os.dup2(terminal, 0)
    until(out.exists)
    watching.stop()
    assert lines(out) == ["outer own own []"]
    for number in (asked, answers, terminal):
        os.close(number)


def test_what_a_program_complains_of_follows_what_it_printed_in_one_log(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_text("of an earlier run\n")
    done = tmp_path / "done"
    script = f"echo printed; echo complained >&2; touch {done}; {LASTING}"
    watching = Supervisor([shell("web", script)], tmp_path, print)
    watching.start()
    until(done.exists)
    watching.stop()
    assert lines(tmp_path / "web.log") == ["of an earlier run", "printed", "complained"]
