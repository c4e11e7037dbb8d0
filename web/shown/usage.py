"""The storage that a person and the laboratory use, as plain values for the API and the pages."""

from __future__ import annotations

from core.intake import Usage, quotas
from web.security.caller import person
from web.shown.summaries import Summary
from web.wiring import wired


def summarise_usage() -> Summary:
    """Return the storage of the caller and of all people together, and the limits."""
    wiring = wired()
    with wiring.database.reading() as session:
        own = quotas.of_person(session, person().id, wiring.settings)
        all_ = quotas.of_laboratory(session, wiring.settings)
    return {"person": _usage(own), "laboratory": _usage(all_)}


def _usage(usage: Usage) -> Summary:
    """Return the figures; None means that there is no limit."""
    return {
        "bytes": usage.bytes,
        "bytes_allowed": usage.bytes_allowed or None,
        "open_jobs": usage.jobs,
        "open_jobs_allowed": usage.jobs_allowed or None,
    }
