"""The storage that a person and the laboratory use, for the API and the pages."""

from __future__ import annotations

from contract.usage import Usage, UsageAnswer
from core import intake
from core.intake import quotas
from web.security.caller import person
from web.wiring import wired


def summarise_usage() -> UsageAnswer:
    """Return the storage of the caller and of all people together, and the limits."""
    wiring = wired()
    with wiring.database.reading() as session:
        own = quotas.of_person(session, person().id, wiring.settings)
        everybodys = quotas.of_laboratory(session, wiring.settings)
    return UsageAnswer(person=_usage(own), laboratory=_usage(everybodys))


def _usage(usage: intake.Usage) -> Usage:
    return Usage(
        bytes=usage.bytes,
        bytes_allowed=usage.bytes_allowed or None,
        open_jobs=usage.jobs,
        open_jobs_allowed=usage.jobs_allowed or None,
    )
