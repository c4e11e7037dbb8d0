"""What an idle process does: it looks in SQL for waiting work, whether or not a message came.

So a broker that is frozen, full, killed or was never there costs a second, and no work.
"""

from __future__ import annotations

from collections.abc import Callable

from core import jobs
from core.tables import Derivative, Explanation, Made, Report, Shard
from worker.explaining import explain_image
from worker.pipeline import classify_shard
from worker.process import WorkerProcess
from worker.report import make_report
from worker.showing import derive_image

_DOES: dict[type[Shard] | type[Made], Callable[[WorkerProcess, int], bool]] = {
    Shard: classify_shard,
    Explanation: explain_image,
    Derivative: derive_image,
    Report: make_report,
}


def seek(process: WorkerProcess) -> bool:
    """Do one waiting task; False if there is none or others were quicker.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    with process.database.reading() as session:
        waiting = jobs.next_waiting(session)
    if waiting is None:
        return False
    kind, id_ = waiting
    return _DOES[kind](process, id_)
