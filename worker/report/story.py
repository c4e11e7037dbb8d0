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
from worker.report import contents
from worker.report.chart import DifferentialTable, StackedBar
from worker.report.contents import Cell, Group, Problem, ReportedJob
from worker.report.flowables import LabelledLists, Signature, Text, Thumbnails, percent
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


def story(session: Session, job: ReportedJob, picture: Picture) -> Iterator[Flowable]:
    """Yield the report. ``picture`` gives a small JPEG by the image's hash, or None."""
    yield from _first_page(job)
    if job.differential.to_check:
        yield from _to_check(session, job, picture)
    few = jobs.few_shot(job.models)
    for class_count in job.differential.classes:
        yield from _cells(session, job.id, class_count, class_count.name in few, picture)
    yield from _heading("All images")
    yield Rows(_IMAGES, _image_rows(jobs.export_rows(session, job.id)))
    if job.counts.failed or job.counts.refused:
        yield from _heading("Files that failed or were refused")
        yield Rows(_PROBLEMS, _problem_rows(contents.problems(session, job.id)))
    if job.counts.duplicates:
        yield from _heading("Duplicates")
        yield Text("Identical files are counted once.")
        yield Rows(_DUPLICATES, _problem_rows(contents.duplicates(session, job.id)))
    if job.skipped:
        yield from _heading("Skipped files")
        yield Text(
            "These files were among the images but were not sent. They are not part of the job."
        )
        yield Rows(_SKIPS, contents.skips(session, job.id))
    yield from _last_words()


def _first_page(job: ReportedJob) -> Iterator[Flowable]:
    yield Text("Blood cell differential", 16, BOLD, after=8)
    yield LabelledLists(_job_facts(job), _count_facts(job))
    yield Spacer(0, 4 * mm)
    yield from _heading("Differential")
    if job.differential.classified:
        yield StackedBar(job.differential)
        yield Spacer(0, 3 * mm)
        yield DifferentialTable(job.differential, jobs.few_shot(job.models))
        yield Text(_SHARES, 7.5)
        yield from _warning(job.differential)
    else:
        yield Text("No image of this job was classified, so there is no differential.")
    yield from _heading("Model")
    yield LabelledLists([fact for model in job.models for fact in _model_facts(model)] or _NO_MODEL)


_NO_MODEL = [("Name", "No model has classified an image of this job.")]


def _job_facts(job: ReportedJob) -> list[tuple[str, str]]:
    return [
        ("Job", job.name),
        ("Job number", str(job.id)),
        ("Reference", job.reference or "none"),
        ("Submitted by", job.owner),
        ("Submitted", _moment(job.submitted_at)),
        ("Ended", _moment(job.finished_at)),
        ("State", _STATES.get(job.state, job.state.value)),
    ]


def _count_facts(job: ReportedJob) -> list[tuple[str, str]]:
    counts = job.counts
    facts = [
        ("Files received", counts.received),
        ("Classified", counts.classified),
        ("Duplicates", counts.duplicates),
        ("Refused", counts.refused),
        ("Failed", counts.failed),
        ("Not classified", counts.waiting),
    ]
    if job.skipped:
        facts.append(("Skipped", job.skipped))
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


def _warning(differential: Differential) -> Iterator[Flowable]:
    """Say on the first page that the differential does not cover all cells."""
    to_check, classified = differential.to_check, differential.classified
    if to_check:
        share = percent(to_check / classified)
        yield Text(
            f"{to_check:,} of {classified:,} classified cells ({share}) need"
            " review and are not counted: see the next section.",
            font=BOLD,
        )
    if differential.advice:
        yield Text(differential.advice)


def _to_check(session: Session, job: ReportedJob, picture: Picture) -> Iterator[Flowable]:
    yield PageBreak()
    yield from _heading("Cells that need review")
    yield Text(
        "The class below each picture is the model's best guess and is not counted. Write what you"
        " see on the line."
    )
    for outcome in TO_CHECK:
        for group in contents.to_check(session, job.id, outcome):
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
    session: Session, job_id: int, class_count: jobs.ClassCount, few: bool, picture: Picture
) -> Iterator[Flowable]:
    shown = contents.cells(session, job_id, class_count.name)
    cell = cell_type(class_count.name)
    yield CondPageBreak(60 * mm)
    mark = f" ({FEW_IMAGES})" if few else ""
    yield from _heading(
        f"{cell.label} ({cell.code}): {class_count.count:,}, {percent(class_count.share)}{mark}"
    )
    if class_count.count > len(shown):
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
    for problem in problems:
        yield f"{problem.number:,}", problem.name, problem.what, problem.why


def _last_words() -> Iterator[Flowable]:
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
