"""Terminal output of the commands that run networks: progress bars and error messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ml.bundle import Bundle
    from ml.data import Report

FOLDER = click.Path(path_type=Path, file_okay=False)
ANYTHING = click.Path(path_type=Path)


def bundle_at(path: Path | None) -> Bundle:
    """Return the bundle in that folder, or the one that ships."""
    from ml.bundle import Bundle, default_bundle_path

    return Bundle.load(path or default_bundle_path())


@contextmanager
def progress() -> Iterator[Report]:
    """Yield a report that shows one progress bar per stage, if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    note = TextColumn("{task.fields[note]}")
    bars: dict[str, TaskID] = {}
    console = Console(file=sys.stderr)
    with Progress(*columns, note, console=console, disable=not console.is_terminal) as shown:

        def report(stage: str, done: float, words: str) -> None:
            if stage not in bars:
                bars[stage] = shown.add_task(stage, total=1.0, note=words)
            shown.update(bars[stage], completed=done, note=words)

        yield report


@contextmanager
def sentences() -> Iterator[None]:
    """Turn errors of the body into a sentence that says what to do."""
    from ml.errors import MlError

    # oneDNN doubles TensorFlow's speed on a CPU; it must be asked for before the import.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        yield
    except (MlError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except ImportError as error:
        message = f"{error.name} is not installed. Install it with: pip install hematovision[train]"
        raise click.ClickException(message) from error


@contextmanager
def silent_start() -> Iterator[None]:
    """Hide TensorFlow's start-up messages, which its C++ part writes to the terminal."""
    sys.stderr.flush()
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
