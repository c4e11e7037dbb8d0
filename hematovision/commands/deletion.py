"""Commands that delete jobs and pictures, undo that, and show how much is kept."""

from __future__ import annotations

import json
from typing import Any

import click

from hematovision.commands.work import connect, with_server
from lexicon.words import amount

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
    path, query = "/pictures" if pictures else "", "?at_once=1" if for_good else ""
    for job in jobs:
        answer = client.call("DELETE", f"/jobs/{job}{path}{query}")
        until = "" if pictures or for_good else f". It can be restored until {_day(answer)}"
        done = "will be deleted" if pictures else "is deleted"
        click.echo(f"Job {job}: its pictures {done}." if pictures else f"Job {job} {done}{until}.")


def _day(answer: dict[str, Any]) -> str:
    return str(answer["restorable_until"])[:16].replace("T", " ") + " UTC"


@click.command()
@click.argument("jobs", metavar="[JOB]...", type=int, nargs=-1)
@click.option("--pictures", is_flag=True, help="Keep their pictures, which are due for deletion.")
@with_server
def restore(jobs: tuple[int, ...], pictures: bool, **where: Any) -> None:
    """Restore each deleted JOB. Without any, list the jobs that can be restored."""
    client = connect(**where)
    if not jobs:
        for job in client.call("GET", "/jobs/deleted")["jobs"]:
            click.echo(f"{job['id']}\t{job['name']}\tcan be restored until {_day(job)}")
        return
    action = "keep-pictures" if pictures else "restore"
    for job in jobs:
        client.call("POST", f"/jobs/{job}/{action}")
        click.echo(f"Job {job}: its pictures are kept." if pictures else f"Job {job} is restored.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@with_server
def usage(as_json: bool, **where: Any) -> None:
    """Show how much storage you use, how much everyone uses together, and the limits."""
    answer = connect(**where).call("GET", "/usage")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for whose, used in (("You", answer["person"]), ("Everyone", answer["laboratory"])):
        size, jobs = used["bytes_allowed"], used["open_jobs_allowed"]
        most = f" of {amount(size)}" if size else ""
        limit = f" of {jobs:,}" if jobs else ""
        click.echo(
            f"{whose}: {amount(used['bytes'])}{most}, {used['open_jobs']:,}{limit} open jobs"
        )
