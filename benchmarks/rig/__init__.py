"""A whole system on this machine, to be measured: running it, giving it work, disturbing it.

The commands of `benchmarks` measure; nothing here does so by itself.
"""

from benchmarks.rig.databases import KINDS, opened
from benchmarks.rig.invented import NULL_WORKER, Run, runs
from benchmarks.rig.processes import broker_below, frozen, until, up
from benchmarks.rig.system import Rig, running
from benchmarks.rig.work import has_ended, job_speed, let_in, send_files, sign_in, spread

__all__ = [
    "KINDS",
    "NULL_WORKER",
    "Rig",
    "Run",
    "broker_below",
    "frozen",
    "has_ended",
    "job_speed",
    "let_in",
    "opened",
    "running",
    "runs",
    "send_files",
    "sign_in",
    "spread",
    "until",
    "up",
]
