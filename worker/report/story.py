"""The content of a report, in order, yielded part by part."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, PageBreak, Spacer
from sqlalchemy.orm import Session

from core import jobs
from core.jobs import Differential
from core.states import ImageState, JobState
from core.tables import Model
from lexicon.cells import cell_type
from lexicon.outcomes import FEW_IMAGES, TO_CHECK, Outcome, calibration, codes, describe, reason
from lexicon.verdicts import Verdict
from worker.report import findings
from worker.report.chart import StackedBar, Table
from worker.report.findings import Cell, Findings, Group, Problem
from worker.report.flowables import Facts, Signature, Text, Thumbnails, percent
from worker.report.rows import Column, Rows
from worker.report.typeface import BOLD, PLACEHOLDER

Picture = Callable[[str], bytes | None]
_STATES = {
    JobState.FINISHED: "finished",
    JobState.FAILED: "failed: no image could be classified",
    JobState.CANCELLED: "cancelled before all images were classified",
}
_NO_VERDICT = {
    ImageState.FAILED: "failed",
    ImageState.REFUSED: "refused",
    ImageState.RECEIVED: "not classified",
    ImageState.EXPECTED: "never arrived",
}
_SHARES = (
    "Per cent and interval refer to the accepted cells. 95 % interval: Wilson score interval, which"
    " assumes that the cells were drawn independently."
)
_IMAGES = (
    Column("No.", 0.08, right=True),
    Column("File", 0.43),
    Column("Class", 0.22),
    Column("Confidence", 0.11, right=True),
    Column("Outcome", 0.16),
)
_PROBLEMS = (
    Column("No.", 0.08, right=True),
    Column("File", 0.42),
    Column("State", 0.10),
    Column("Why", 0.40),
)
_DUPLICATES = (
    Column("No.", 0.08, right=True),
    Column("File", 0.38),
    Column("Identical to", 0.16),
    Column("File", 0.38),
)
_SKIPS = (Column("File", 0.6), Column("Why", 0.4))


def story(session: Session, found: Findings, picture: Picture) -> Iterator[Flowable]:
    """Yield the report. ``picture`` gives a small JPEG by the image's hash, or None."""
    yield from _first_page(found)
    if found.differential.to_check:
        yield from _to_check(session, found, picture)
    few = jobs.few_shot(found.models)
    for one in found.differential.classes:
        yield from _cells(session, found.job_id, one, one.name in few, picture)
    yield from _heading("All images")
    yield Rows(_IMAGES, _image_rows(jobs.export_rows(session, found.job_id)))
    if found.counts.failed or found.counts.refused:
        yield from _heading("Files that failed or were refused")
        yield Rows(_PROBLEMS, _problem_rows(findings.problems(session, found.job_id)))
    if found.counts.duplicates:
        yield from _heading("Duplicates")
        yield Text("Identical files are counted once.")
        yield Rows(_DUPLICATES, _problem_rows(findings.duplicates(session, found.job_id)))
    if found.skipped:
        yield from _heading("Skipped files")
        yield Text(
            "These files were among the images but were not sent. They are not part of the job."
        )
        yield Rows(_SKIPS, findings.skips(session, found.job_id))
    yield from _last_words(found)


def _first_page(found: Findings) -> Iterator[Flowable]:
    yield Text("Blood cell differential", 16, BOLD, after=8)
    yield Facts(_job_facts(found), _count_facts(found))
    yield Spacer(0, 4 * mm)
    yield from _heading("Differential")
    if found.differential.classified:
        yield StackedBar(found.differential)
        yield Spacer(0, 3 * mm)
        yield Table(found.differential, jobs.few_shot(found.models))
        yield Text(_SHARES, 7.5)
        yield from _warning(found.differential)
    else:
        yield Text("No image of this job was classified, so there is no differential.")
    yield from _heading("Model")
    yield Facts([fact for model in found.models for fact in _model_facts(model)] or _NO_MODEL)


_NO_MODEL = [("Name", "No model has classified an image of this job.")]


def _job_facts(found: Findings) -> list[tuple[str, str]]:
    return [
        ("Job", found.name),
        ("Job number", str(found.job_id)),
        ("Reference", found.reference or "none"),
        ("Submitted by", found.owner),
        ("Submitted", _moment(found.submitted_at)),
        ("Ended", _moment(found.finished_at)),
        ("State", _STATES.get(found.state, found.state.value)),
    ]


def _count_facts(found: Findings) -> list[tuple[str, str]]:
    counts = found.counts
    facts = [
        ("Files received", counts.received),
        ("Classified", counts.classified),
        ("Duplicates", counts.duplicates),
        ("Refused", counts.refused),
        ("Failed", counts.failed),
        ("Not classified", counts.waiting),
    ]
    if found.skipped:
        facts.append(("Skipped", found.skipped))
    return [(label, f"{count:,}") for label, count in facts]


def _model_facts(model: Model) -> list[tuple[str, str]]:
    few = jobs.few_shot([model])
    words = [
        f"{cell_type(name).label} ({FEW_IMAGES})" if name in few else cell_type(name).label
        for name in model.classes
    ]
    return [
        ("Name", f"{model.name}, version {model.version}"),
        ("Classes", ", ".join(words)),
        ("Confidence", calibration(jobs.calibrated([model]))),
        ("Digest", model.digest),
    ]


def _warning(found: Differential) -> Iterator[Flowable]:
    """Say on the first page that the differential does not cover all cells."""
    if found.to_check:
        share = percent(found.to_check / found.classified)
        yield Text(
            f"{found.to_check:,} of {found.classified:,} classified cells ({share}) need"
            " review and are not counted: see the next section.",
            font=BOLD,
        )
    if found.advice:
        yield Text(found.advice)


def _to_check(session: Session, found: Findings, picture: Picture) -> Iterator[Flowable]:
    yield PageBreak()
    yield from _heading("Cells that need review")
    yield Text(
        "The class below each picture is the model's best guess and is not counted. Write what you"
        " see on the line."
    )
    for outcome in TO_CHECK:
        for group in findings.to_check(session, found.job_id, outcome):
            yield from _group(group, picture)


def _group(group: Group, picture: Picture) -> Iterator[Flowable]:
    named = describe(group.outcome, group.names, group.reason)
    yield CondPageBreak(60 * mm)
    yield Text(f"{named}: {group.count:,}", 10, BOLD, before=10, after=4)
    if group.reason:
        yield Text(reason(group.reason).sentence)
    if group.count > len(group.cells):
        yield Text(
            f"The {len(group.cells)} with the lowest confidence are shown; "
            "all are in the table of images."
        )
    yield from _pictures(group.cells, picture, to_check=True)


def _cells(
    session: Session, job_id: int, one: jobs.ClassCount, few: bool, picture: Picture
) -> Iterator[Flowable]:
    shown = findings.cells(session, job_id, one.name)
    cell = cell_type(one.name)
    yield CondPageBreak(60 * mm)
    mark = f" ({FEW_IMAGES})" if few else ""
    yield from _heading(f"{cell.label} ({cell.code}): {one.count:,}, {percent(one.share)}{mark}")
    if one.count > len(shown):
        yield Text(
            f"The {len(shown)} with the highest confidence are shown; "
            "all are in the table of images."
        )
    yield from _pictures(shown, picture)


def _pictures(
    shown: Sequence[Cell], picture: Picture, *, to_check: bool = False
) -> Iterator[Flowable]:
    for start in range(0, len(shown), Thumbnails.COLUMNS):
        yield Thumbnails(shown[start : start + Thumbnails.COLUMNS], picture, to_check)


def _image_rows(rows: Iterator[jobs.Row]) -> Iterator[Sequence[str]]:
    for number, row in enumerate(rows, 1):
        if row.state in _NO_VERDICT or row.verdict is None:
            state = _NO_VERDICT.get(row.state, row.state.value)
            yield f"{number:,}", row.name, "", "", state
            continue
        outcome: str = row.verdict.outcome
        if row.state is ImageState.DUPLICATE:
            outcome = f"duplicate, {outcome}"
        yield f"{number:,}", row.name, _class(row.verdict), percent(row.verdict.confidence), outcome


def _class(verdict: Verdict) -> str:
    """Return the class of an accepted cell; for other cells, what they may be."""
    if verdict.outcome is Outcome.UNCERTAIN:
        return f"{codes(verdict.candidates)} ?"
    cell = cell_type(verdict.label)
    guess = "? " if verdict.outcome is Outcome.UNFAMILIAR else ""
    return f"{guess}{cell.code} {cell.label}"


def _problem_rows(problems: Iterator[Problem]) -> Iterator[Sequence[str]]:
    for one in problems:
        yield f"{one.number:,}", one.name, one.what, one.why


def _last_words(found: Findings) -> Iterator[Flowable]:
    yield CondPageBreak(75 * mm)
    yield from _heading("Review")
    yield Text("Not signed. Not a result until a qualified person has reviewed and signed it.")
    yield Signature()
    yield Text(f"Characters that this report's typeface lacks are shown as {PLACEHOLDER}.", 7.5)


def _heading(words: str) -> Iterator[Flowable]:
    yield CondPageBreak(30 * mm)
    yield Text(words, 11.5, BOLD, before=14, after=6)


def _moment(when: dt.datetime | None) -> str:
    return f"{when.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC" if when else "never"
