"""A job's results as CSV and JSON, streamed, so that memory does not grow with the job."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session

from contract.base import Answer
from contract.jobs import JobDetails
from contract.results import ResultFile, ResultModel, ResultsHead
from core import jobs
from core.db import Database
from core.jobs import Row
from core.tables import Image, Model
from lexicon import results
from lexicon.words import NOTICE

_CHUNK_ROWS = 200


def csv_lines(database: Database, job_id: int) -> Iterator[str]:
    """Yield the CSV of a job in pieces: the header, then a few hundred lines at a time."""
    with _snapshot(database) as session:
        models = _models(session, job_id)
        classes = _classes(models)
        buffer = io.StringIO()
        table = results.Table(buffer)
        table.write(results.head(classes))
        for number, row in enumerate(jobs.export_rows(session, job_id), start=1):
            table.write(_cells(row, models, classes))
            if number % _CHUNK_ROWS == 0:
                yield _emptied(buffer)
        yield _emptied(buffer)


@contextmanager
def _snapshot(database: Database) -> Iterator[Session]:
    """Yield a session whose statements all see the same state, models and rows alike.

    SQLite's read transactions do this by default; PostgreSQL's must be told to.
    """
    with database.reading() as session:
        if database.engine.dialect.name == "postgresql":
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session


def _emptied(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _cells(row: Row, models: dict[str, Model], classes: list[str]) -> list[str]:
    return results.row(
        row.name,
        row.verdict,
        _title(models[row.model]) if row.model else "",
        _by_class(row, models),
        classes,
        state=row.state.value,
        message=_message(row) or "",
    )


def _message(row: Row) -> str | None:
    """Say where a duplicate's verdict comes from, or what went wrong with another file."""
    return row.message if row.first is None else f"Identical to {row.first}."


def _by_class(row: Row, models: dict[str, Model]) -> dict[str, float]:
    if row.model is None or row.verdict is None:
        return {}
    return dict(zip(models[row.model].classes, row.verdict.probabilities, strict=True))


def _models(session: Session, job_id: int) -> dict[str, Model]:
    used = select(Image.model_digest).where(Image.job_id == job_id).distinct()
    models = session.scalars(select(Model).where(Model.digest.in_(used)))
    return {model.digest: model for model in models}


def _classes(models: dict[str, Model]) -> list[str]:
    """Return the classes in the order of the network's outputs, model after model, each once."""
    return list(dict.fromkeys(name for model in models.values() for name in model.classes))


def _title(model: Model) -> str:
    return f"{model.name} {model.version} ({model.digest[:12]})"


def json_lines(database: Database, job: JobDetails) -> Iterator[str]:
    """Yield a `contract.results.Results` in pieces: notice, job, models, and every file."""
    with _snapshot(database) as session:
        models = _models(session, job.id)
        head = ResultsHead(notice=NOTICE, job=job, models=[_model(m) for m in models.values()])
        yield _json(head)[:-1] + ', "files": ['
        comma = "\n"
        for row in jobs.export_rows(session, job.id):
            yield comma + _json(_file(row, models))
            comma = ",\n"
        yield "\n]}\n"


def _json(part: Answer) -> str:
    return json.dumps(part.model_dump(by_alias=True), ensure_ascii=False)


def _model(model: Model) -> ResultModel:
    return ResultModel(
        name=model.name,
        version=model.version,
        digest=model.digest,
        classes=model.classes,
        few_shot=sorted(jobs.few_shot([model])),
        calibrated=jobs.calibrated([model]),
    )


def _file(row: Row, models: dict[str, Model]) -> ResultFile:
    """Return a file for programs: the same columns as the table's, numbers as numbers."""
    return ResultFile(
        file=row.name,
        state=row.state.value,
        **results.values(row.verdict),
        model_digest=row.model,
        probabilities={name: round(share, 6) for name, share in _by_class(row, models).items()},
        message=_message(row),
    )
