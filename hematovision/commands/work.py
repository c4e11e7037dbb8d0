"""Commands that send work to a running system and fetch its results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from contract.jobs import JobDetails, JobPage, JobSummary, ModelChoice, NewJob, Submission
from contract.models import ModelList
from contract.uploads import ProblemPage
from core.made.reports import PAPERS
from core.settings import Settings
from hematovision import archive
from hematovision import client as http
from hematovision.collecting import LocalFile, collect
from lexicon.folders import SKIPS, Skip
from lexicon.outcomes import FEW_IMAGES, MARKS
from lexicon.words import NOTICE, counted

_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)
_NAMED = 10
_PAPER = click.Choice(PAPERS, case_sensitive=False)


def with_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose the server."""
    for option in (
        click.option("--server", envvar="HEMATOVISION_SERVER", help="Address of the server."),
        click.option("--token", envvar="HEMATOVISION_TOKEN", help="API token of your account."),
        click.option("--data", type=click.Path(path_type=Path), help="Data folder of `up`."),
    ):
        command = option(command)
    return command


def connect(server: str | None, token: str | None, data: Path | None) -> http.Client:
    """Return a client for the server chosen by those options."""
    client = http.connection(data or Settings.from_env().data, server, token)
    client.waiting = lambda sentence: click.echo(f"Waiting. {sentence}", err=True)
    return client


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="Name of the job [the folder's].")
@click.option("--reference", default="", help="Your own reference, such as a specimen number.")
@click.option("--model", default="", help="Start of a model's digest [the active model].")
@click.option("--job", type=int, help="Continue this job, whose files were not all sent.")
@click.option("--wait", is_flag=True, help="Wait until every image has a result.")
@click.option("--pdf", type=_FILE, help="Wait, then write the report here.")
@click.option("--csv", type=_FILE, help="Wait, then write the results here.")
@click.option(
    "--paper", type=_PAPER, default="A4", show_default=True, help="Paper size of the report."
)
@with_server
def submit(
    paths: tuple[Path, ...],
    name: str | None,
    reference: str,
    model: str,
    job: int | None,
    wait: bool,
    **rest: Any,
) -> None:
    """Send image files, folders, or one .zip, .tar or .tar.gz to a running system."""
    outputs = {key: rest.pop(key) for key in ("pdf", "csv", "paper")}
    client = connect(**rest)
    packed = archive.chosen(list(paths))
    files, skips = ([], []) if packed else collect(list(paths))
    _print_skipped(skips, len(skips))
    model = _model(client, model)
    new = NewJob(name=name or paths[0].absolute().name, reference=reference)
    job_id = job or client.open_job(new).id
    missing = _send_archive(client, job_id, packed) if packed else _send(client, job_id, files)
    http.tell_skipped(client, job_id, skips)
    shown = client.submit(job_id, Submission(without_missing=missing, model=model))
    click.echo(f"Job {job_id} is queued: {client.server}{shown.url}", err=True)
    if wait or outputs["pdf"] or outputs["csv"]:
        shown = _follow(client, job_id)
        _print_job(client, shown)
        _fetch(client, job_id, **outputs)
        raise SystemExit(0 if shown.state == "finished" else 1)


def _print_skipped(skips: Iterable[Skip], count: int) -> None:
    """List skipped files by reason, only a few of each so that they don't fill the screen."""
    named = sorted(skips, key=lambda skip: skip.reason)
    for reason, group in groupby(named, key=lambda skip: skip.reason):
        names = [skip.name for skip in group]
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        click.echo(
            f"Skipped, {SKIPS.get(reason, reason)}: {', '.join(names[:_NAMED])}{more}.", err=True
        )
    if unnamed := count - len(named):
        click.echo(f"Skipped: {unnamed:,} more, listed on the job's page.", err=True)


def _model(client: http.Client, wanted: str) -> str:
    """Return the digest of the wanted model, before anything is sent; "" is the active one."""
    if wanted.lower() in ("", "active"):
        return ""
    models = client.get("/models", ModelList).models
    digests = [model.digest for model in models if model.digest.startswith(wanted.lower())]
    if len(digests) == 1:
        return digests[0]
    choice = ", ".join(f"{m.digest[:12]} ({m.name} {m.version})" for m in models)
    problem = "Several models have" if digests else "No model has"
    raise click.ClickException(
        f"{problem} a digest that begins with {wanted}. Models: {choice or 'none'}."
    )


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _send(client: http.Client, job_id: int, files: list[LocalFile]) -> bool:
    """Send the files, list those left out, and return whether any could not be read here."""
    with _bar() as bar:
        task = bar.add_task("Sending", total=len(files))
        try:
            left_out = list(http.upload(client, job_id, files, lambda _: bar.advance(task)))
        except http.ServerError as error:
            raise click.ClickException(f"{error} To continue, add --job {job_id}.") from error
    for sent in left_out:
        click.echo(f"{sent.state.capitalize()}: {sent.file.name}: {sent.message}", err=True)
    return any(sent.state == "missing" for sent in left_out)


def _send_archive(client: http.Client, job_id: int, path: Path) -> bool:
    """Send an archive and list its refused files. No file of it can be missing."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Sending", total=path.stat().st_size)

        def show(sent: int, held: int) -> None:
            bar.update(
                task, completed=sent, description=f"Sending, {counted(held, 'file')} received"
            )

        try:
            receipt = archive.send(client, job_id, path, show)
        except http.ServerError as error:
            raise click.ClickException(f"{error} To continue, add --job {job_id}.") from error
    for file in receipt.refusals:
        click.echo(f"Refused: {file.name}: {file.message}", err=True)
    if more := receipt.refused - len(receipt.refusals):
        click.echo(f"Refused: {more:,} more, listed on the job's page.", err=True)
    _print_skipped([Skip(file.name, file.reason) for file in receipt.skips], receipt.skipped)
    return False


def _follow(client: http.Client, job_id: int) -> JobDetails:
    with _bar() as bar:
        task = bar.add_task("Classifying", total=None)

        def show(job: JobDetails) -> None:
            received = job.counts.received
            bar.update(task, total=received, completed=received * job.share_done)

        return http.follow(client, job_id, show)


def _print_job(client: http.Client, job: JobDetails) -> None:
    """Print a summary of a job, and list the files that failed."""
    _print_summary(job)
    if not job.counts.failed:
        return
    page = client.get(f"/jobs/{job.id}/problems", ProblemPage).files
    failed = [file for file in page if file.state == "failed"][:_NAMED]
    for file in failed:
        click.echo(f"Failed: {file.name}: {file.message}", err=True)
    if more := job.counts.failed - len(failed):
        click.echo(f"Failed: {more:,} more, listed on the job's page.", err=True)


def _print_summary(job: JobDetails) -> None:
    counts = job.counts
    console = Console()
    console.print(f"Job {job.id}, {job.name}: {job.state}", markup=False)
    console.print(
        f"{counts.received:,} received = {counts.classified:,} classified"
        f" + {counts.duplicates:,} duplicates + {counts.refused:,} refused"
        f" + {counts.failed:,} failed"
        + (f" + {counts.waiting:,} waiting" if counts.waiting else ""),
        soft_wrap=True,
    )
    if job.standstill:
        console.print(job.standstill, soft_wrap=True)
    console.print(_differential(job))
    if job.to_check:
        console.print(
            f"{job.to_check:,} of {counts.classified:,} classified cells need review"
            " and are not counted. They are on the job's page and in its PDF.",
            soft_wrap=True,
        )
    if job.advice:
        console.print(job.advice, soft_wrap=True)
    console.print(NOTICE)


def _differential(job: JobDetails) -> Table:
    """Return the accepted cells by class, then the rest. Shares are of the accepted cells."""
    table = Table("Class", "Code", "Cells", "Per cent", "95 % interval", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for cell in job.classes:
        share, low, high = (f"{100 * part:.1f}" for part in (cell.share, cell.low, cell.high))
        interval = f"[{low}\N{EN DASH}{high}]"
        few = f" ({FEW_IMAGES})" if cell.few_shot else ""
        table.add_row(cell.label + few, cell.code, f"{cell.count:,}", share, interval)
    accepted = job.outcomes.accepted
    table.add_row("Accepted cells", "", f"{accepted:,}", "100.0" if accepted else "", "")
    for mark in MARKS.values():
        table.add_row(mark.label, mark.sign, f"{job.outcomes.of(mark.outcome):,}", "", "")
    return table


def _fetch(
    client: http.Client, job_id: int, pdf: Path | None, csv: Path | None, paper: str
) -> None:
    if csv:
        client.download(f"/jobs/{job_id}/results.csv", csv)
        click.echo(f"Results: {csv}", err=True)
    if pdf:
        http.fetch_report(client, job_id, paper, pdf)
        click.echo(f"Report: {pdf}", err=True)


@click.command()
@click.argument("job", type=int, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@with_server
def status(job: int | None, as_json: bool, **where: Any) -> None:
    """Show the newest jobs, or one JOB."""
    client = connect(**where)
    if as_json:
        print_json(client, f"/jobs/{job}" if job else "/jobs")
    elif job:
        _print_job(client, client.job(job))
    else:
        _print_jobs(client.get("/jobs", JobPage).jobs)


def print_json(client: http.Client, path: str) -> None:
    """Print an answer as the server sent it: a program may know keys that this version does not."""
    click.echo(json.dumps(json.loads(client.get_text(path)), indent=2))


def _print_jobs(jobs: list[JobSummary]) -> None:
    if not jobs:
        click.echo("No jobs yet. Send a folder of images with `hematovision submit FOLDER`.")
        return
    table = Table("Job", "State", "Done", "Files", "To check", "Name", "Submitted", box=None)
    for job in jobs:
        when = (job.submitted_at or job.created_at)[:16].replace("T", " ")
        done = f"{100 * job.share_done:.0f} %"
        files = f"{job.counts.received:,}"
        check = f"{job.to_check:,}" if job.to_check else ""
        table.add_row(str(job.id), job.state, done, files, check, job.name, when)
    Console().print(table)


@click.command()
@click.argument("job", type=int)
@click.option("--pdf", type=_FILE, help="Write the report here.")
@click.option("--csv", type=_FILE, help="Write the results here as CSV.")
@click.option("--json", "as_json", type=_FILE, help="Write the results here as JSON.")
@click.option(
    "--paper", type=_PAPER, default="A4", show_default=True, help="Paper size of the report."
)
@with_server
def report(
    job: int, pdf: Path | None, csv: Path | None, as_json: Path | None, paper: str, **where: Any
) -> None:
    """Download a JOB's PDF, CSV or JSON."""
    if not (pdf or csv or as_json):
        raise click.UsageError("Say what to write: --pdf, --csv or --json, with a file name.")
    client = connect(**where)
    _fetch(client, job, pdf, csv, paper)
    if as_json:
        client.download(f"/jobs/{job}/results.json", as_json)
        click.echo(f"Results: {as_json}", err=True)


@click.command()
@click.argument("job", type=int)
@with_server
def cancel(job: int, **where: Any) -> None:
    """Stop a JOB. The results so far are kept."""
    cancelled = connect(**where).post(f"/jobs/{job}/cancel", JobDetails)
    click.echo(f"Job {job} is {cancelled.state}.")


@click.command()
@click.argument("job", type=int)
@click.option(
    "--all", "everything", is_flag=True, help="Run every image again, not only the failed ones."
)
@click.option("--model", default="", help="With --all: start of a model's digest [the active one].")
@with_server
def retry(job: int, everything: bool, model: str, **where: Any) -> None:
    """Run a JOB's failed images again, or all of its images with the active or another model."""
    if model and not everything:
        raise click.UsageError(
            "Failed images are retried with the job's own model. To choose another, add --all."
        )
    verb, body = ("run-again", ModelChoice(model=model)) if everything else ("retry", None)
    queued = connect(**where).post(f"/jobs/{job}/{verb}", JobDetails, body)
    click.echo(f"Job {job} is {queued.state}: {counted(queued.left, 'image')} waiting.")
