"""Commands that delete jobs and pictures, undo that, and show how much is kept."""

from __future__ import annotations

from typing import Any

import click

from contract.jobs import DeletedJob, DeletedJobPage, JobReference
from contract.usage import UsageAnswer
from hematovision.commands.work import connect, print_json, with_server
from lexicon.words import amount, counted

_JOBS = click.argument("jobs", metavar="JOB...", type=int, nargs=-1, required=True)


@click.command()
@_JOBS
@click.option("--pictures", is_flag=True, help="Delete only their pictures; results stay.")
@click.option("--for-good", is_flag=True, help="Delete at once; they can't be restored.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_server
def delete(jobs: tuple[int, ...], pictures: bool, for_good: bool, yes: bool, **where: Any) -> None:
    """Delete each JOB with its pictures, results and reports, or only its pictures."""
    client = connect(**where)
    what = "the pictures of " if pictures else ""
    which = ", ".join(map(str, jobs))
    if not yes:
        end = " for good, which can't be undone" if for_good else ""
        click.confirm(f"Delete {what}job {which}{end}?", abort=True)
    query = "?at_once=1" if for_good else ""
    for job in jobs:
        if pictures:
            client.delete(f"/jobs/{job}/pictures{query}", JobReference)
            click.echo(f"Job {job}: its pictures will be deleted.")
        else:
            deleted = client.delete(f"/jobs/{job}{query}", DeletedJob)
            until = "" if for_good else f". It can be restored until {_day(deleted)}"
            click.echo(f"Job {job} is deleted{until}.")


def _day(job: DeletedJob) -> str:
    return job.restorable_until[:16].replace("T", " ") + " UTC"


@click.command()
@click.argument("jobs", metavar="[JOB]...", type=int, nargs=-1)
@click.option("--pictures", is_flag=True, help="Keep their pictures, which are due for deletion.")
@with_server
def restore(jobs: tuple[int, ...], pictures: bool, **where: Any) -> None:
    """Restore each deleted JOB. Without any, list the jobs that can be restored."""
    client = connect(**where)
    if not jobs:
        for deleted in client.get("/jobs/deleted", DeletedJobPage).jobs:
            click.echo(f"{deleted.id}\t{deleted.name}\tcan be restored until {_day(deleted)}")
        return
    action = "keep-pictures" if pictures else "restore"
    for job in jobs:
        client.post(f"/jobs/{job}/{action}", JobReference)
        click.echo(f"Job {job}: its pictures are kept." if pictures else f"Job {job} is restored.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@with_server
def usage(as_json: bool, **where: Any) -> None:
    """Show how much storage you use, how much everyone uses together, and the limits."""
    client = connect(**where)
    if as_json:
        print_json(client, "/usage")
        return
    answer = client.get("/usage", UsageAnswer)
    for whose, used in (("You", answer.person), ("Everyone", answer.laboratory)):
        most = f" of {amount(used.bytes_allowed)}" if used.bytes_allowed else ""
        jobs = counted(used.open_jobs, "open job")
        if used.open_jobs_allowed:
            jobs = f"{used.open_jobs:,} of {counted(used.open_jobs_allowed, 'open job')}"
        click.echo(f"{whose}: {amount(used.bytes)}{most}, {jobs}")
