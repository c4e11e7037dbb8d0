"""The list of jobs, newest first, page by page, for both the pages and the API."""

from __future__ import annotations

from sqlalchemy import Select
from sqlalchemy.orm import Session

from contract.jobs import JobPage
from core import jobs
from core.tables import Job
from web.listing.cursors import after_job, read_job_cursor
from web.shown.summaries import summarise_jobs

PAGE = 50


def page(session: Session, query: Select[Job], before: str) -> JobPage:
    """Return up to `PAGE` jobs that follow the cursor ``before``.

    Raises:
        BadInput: the cursor can't be read.
    """
    cursor = read_job_cursor(before) if before else None
    newest, more = jobs.page_of_jobs(session, query, PAGE, cursor)
    return JobPage(
        jobs=summarise_jobs(session, newest), next=after_job(newest[-1]) if more else None
    )
