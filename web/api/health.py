"""Is this web server fit to serve? For supervisors, load balancers and monitoring."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from core.errors import QueueUnavailable
from web.wiring import wired

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def health() -> Response:
    """Say what can be reached. 503 without the database alone: work goes on without the queue."""
    database, queue = _database_answers(), _queue_answers()
    answer = jsonify(database=database, queue=queue)
    answer.status_code = 200 if database else 503
    return answer


def _database_answers() -> bool:
    try:
        with wired().database.reading() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def _queue_answers() -> bool:
    try:
        wired().queue.check()
    except QueueUnavailable:
        return False
    return True
