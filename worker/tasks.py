"""The Celery tasks: each takes an id and makes one call. Every worker process imports this.

An idle process also looks in SQL for waiting work, whether or not a message came. So a broker that
is frozen, full, killed or was never there costs a second, and no work.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from celery import current_app, shared_task
from celery.signals import (
    task_received,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
)

from core import jobs
from core.queue import CLASSIFY, DERIVE, EXPLAIN, REPORT
from core.tables import Derivative, Explanation, Made, Report, Shard
from worker import app, deriving, explaining, pipeline, report
from worker.limits import time_limited
from worker.logs import quieten
from worker.parent import watch_broker
from worker.process import CurrentProcess, WorkerProcess

# A report of a hundred thousand images takes minutes. The limits are below the time after which an
# unanswered message is delivered again.
_REPORT_SOFT_SECONDS = 240
_REPORT_HARD_SECONDS = 280
# The longest time that work found without a message may take.
LONGEST_SECONDS = _REPORT_HARD_SECONDS
_REQUEST = "worker.parent:LeasedRequest"
_DOES: dict[type[Shard] | type[Made], Callable[[WorkerProcess, int], bool]] = {
    Shard: pipeline.classify_shard,
    Explanation: explaining.explain_image,
    Derivative: deriving.derive_image,
    Report: report.make_report,
}
current = CurrentProcess()


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery is not typed
def open_process(**_: object) -> None:
    """Load the network and connect in the child, not in its parent."""
    quieten()
    conf = current_app.conf
    current.start(app.settings_of(current_app), conf.hematovision_threads, conf.hematovision_device)


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def close_process(**_: object) -> None:
    """Take this process off the list of workers and close its connections."""
    current.stop()


@worker_ready.connect  # type: ignore[untyped-decorator]
def listen(**_: object) -> None:
    """Start to check, in the parent, that messages keep coming in."""
    hearing = watch_broker(current_app._get_current_object())
    task_received.connect(lambda **_: hearing.heard(time.monotonic()), weak=False)


def do_waiting(process: WorkerProcess) -> bool:
    """Do one task that waits in SQL; False if there is none or others were quicker.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    with process.database.reading() as session:
        waiting = jobs.next_waiting(session)
    if waiting is None:
        return False
    kind, id_ = waiting
    return _DOES[kind](process, id_)


@shared_task(name=CLASSIFY, Request=_REQUEST)  # type: ignore[untyped-decorator]
def classify_shard(shard_id: int) -> None:
    """Classify one shard's images, unless it is done or taken by another worker."""
    with time_limited("a shard"):
        pipeline.classify_shard(current.get(), shard_id)


@shared_task(  # type: ignore[untyped-decorator]
    name=REPORT,
    Request=_REQUEST,
    soft_time_limit=_REPORT_SOFT_SECONDS,
    time_limit=_REPORT_HARD_SECONDS,
)
def make_report(report_id: int) -> None:
    """Make one PDF, unless it is done or taken by another worker."""
    with time_limited("a report"):
        report.make_report(current.get(), report_id)


@shared_task(name=EXPLAIN, Request=_REQUEST)  # type: ignore[untyped-decorator]
def explain_image(explanation_id: int) -> None:
    """Explain one image's result, unless it is done or taken by another worker."""
    with time_limited("an explanation"):
        explaining.explain_image(current.get(), explanation_id)


@shared_task(name=DERIVE, Request=_REQUEST)  # type: ignore[untyped-decorator]
def derive_image(derivative_id: int) -> None:
    """Make one image's missing copies, unless they are done or taken by another worker."""
    with time_limited("a picture"):
        deriving.derive_image(current.get(), derivative_id)
