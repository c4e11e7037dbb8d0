"""Inspecting labelled images before a network learns from them."""

from __future__ import annotations

import os
from pathlib import Path

import click

from hematovision.commands.terminal import FOLDER, progress, sentences


@click.command()
@click.argument("folders", type=FOLDER, nargs=-1, required=True)
@click.option("--find-groups", "find", is_flag=True, help="Find images of the same photograph.")
@click.option("--out", type=FOLDER, help="Folder for text, JSON, picture and tables.")
def data(folders: tuple[Path, ...], find: bool, out: Path | None) -> None:
    """Report on labelled images: counts, sizes, duplicates, conflicts, colour, sharpness.

    OUT receives data.txt, data.json, data.png and manifest.csv. With --find-groups it also receives
    groups.csv, which train and evaluate accept as --groups.
    """
    if find and out is None:
        raise click.UsageError("--find-groups writes a table. Say where to put it with --out.")
    # Two threads compare images; the linear algebra below them must not start more of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with sentences(), progress() as report:
        from ml.data import read_folder
        from ml.data.report import GROUPS, as_text, write_groups, write_report
        from ml.data.survey import facts_of, survey

        samples = [sample for folder in folders for sample in read_folder(folder)]
        rows = survey(samples, find, report)
        facts = facts_of(rows)
        if out:
            write_report(rows, facts, out)
        if out and find:
            write_groups(rows, out / GROUPS)
    click.echo(as_text(facts), nl=False)
    if out:
        click.echo(f"The report is in {out}.", err=True)
