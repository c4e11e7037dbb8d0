"""What threads once used goes back to the system."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from core.memory import limited

_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from core.memory import give_back, share_heaps

{before}
together = Barrier(16)

def work(_):
    # Blocks so small that they come from the heap of the thread.
    held = [bytearray(100_000) for _ in range(100)]
    together.wait()
    del held
    return bytearray(1000)

with ThreadPoolExecutor(16) as pool:
    kept = list(pool.map(work, range(16)))
    {after}
    status = Path("/proc/self/status").read_text()
print(int(status.split("VmRSS:")[1].split()[0]) // 1024)
"""


def _megabytes(before: str, after: str) -> int:
    code = _THREADS.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory by /proc")
def test_what_sixteen_threads_used_is_given_back() -> None:
    assert _megabytes("share_heaps()", "give_back()") < 60


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits a process's data")
def test_beyond_a_limit_an_allocation_fails_and_the_process_lives() -> None:
    with limited(50_000_000):
        assert len(bytearray(20_000_000)) == 20_000_000
        with pytest.raises(MemoryError):
            bytearray(200_000_000)
    assert len(bytearray(200_000_000)) == 200_000_000


def test_a_limit_is_lifted_whatever_happens_under_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(KeyError), limited(10**9):
        raise KeyError
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
