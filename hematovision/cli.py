"""The command line. Each command lives in `hematovision.commands` and is loaded when called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from core.errors import HematoVisionError
from lexicon.words import NOTICE

# name: (module in hematovision.commands, its help). Kept here so that --help loads no module.
COMMANDS = {
    "up": ("service", "Run the whole system on this machine."),
    "submit": ("work", "Send images to a running system and wait for the results."),
    "status": ("work", "Show the newest jobs, or one job."),
    "report": ("work", "Download a job's PDF, CSV or JSON."),
    "cancel": ("work", "Stop a job."),
    "retry": ("work", "Run a job's failed images again, or all of its images."),
    "delete": ("deletion", "Delete jobs, or only their pictures."),
    "restore": ("deletion", "Restore deleted jobs, or keep pictures due for deletion."),
    "usage": ("deletion", "Show how much storage is used, and how much is allowed."),
    "predict": ("learn", "Classify files directly, without a server."),
    "data": ("data", "Report on labelled images, and find copies of the same photograph."),
    "train": ("learn", "Train a model bundle from a recipe."),
    "runs": ("learn", "Print a table of training runs and their scores."),
    "evaluate": ("evaluate", "Score a model bundle on labelled images."),
    "adapt": ("adapt", "Adapt a model bundle to a laboratory with its own crops."),
    "model": ("models", "List, add, activate and roll back models."),
    "plan": ("planning", "Work out how many workers a batch needs to finish in time."),
    "user": ("people", "Add, change and list people, and create their links and tokens."),
    "audit": ("audit", "Check the audit trail, and list its entries."),
    "web": ("service", "Run only the web server."),
    "worker": ("service", "Run only the workers, which classify images."),
    "sweep": ("service", "Run only the sweep, which recovers lost work."),
    "db": ("service", "Update the database tables, and clean the image store."),
    "settings": ("service", "List every setting with its value."),
}


class Commands(click.Group):
    """Loads a command's module when it is called, and shows our errors as plain sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"hematovision.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Our own errors print a sentence and exit with 1, without a traceback."""
        try:
            return super().invoke(ctx)
        except HematoVisionError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(_sentence(error)) from error
        except Exception as error:
            # Only the commands that use a database load SQLAlchemy.
            if "sqlalchemy" not in sys.modules:
                raise
            from core.outages import trouble_of

            if trouble := trouble_of(error):
                raise click.ClickException(str(trouble)) from error
            raise


def _sentence(error: OSError) -> str:
    """Return the operating system's message, with the name of the file."""
    name = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{name}. Everything written before that is kept."


@click.group(cls=Commands, epilog=NOTICE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("hematovision"), prog_name="hematovision")
def main() -> None:
    """HematoVision classifies blood-cell images in batches."""
    # File names and results may hold patient data: only the owner may read what is written here,
    # also by the programs started from here.
    os.umask(0o077)
