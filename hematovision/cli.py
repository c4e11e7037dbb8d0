"""The one command line. Each command lives in `hematovision.commands` and is loaded when called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from core.errors import HematoVisionError
from lexicon.words import NOTICE

# name: (module below hematovision.commands, what it is for). Kept here so that --help loads none.
COMMANDS = {
    "up": ("service", "Run the whole system on this machine."),
    "submit": ("work", "Send images to a running system and wait for the results."),
    "status": ("work", "Show the newest jobs, or one job."),
    "report": ("work", "Download a job's PDF, CSV or JSON."),
    "cancel": ("work", "Stop a job."),
    "retry": ("work", "Run a job's failed images, or all of them, once more."),
    "delete": ("deletion", "Delete jobs, or their pictures alone."),
    "restore": ("deletion", "Restore deleted jobs, or keep pictures that were to be deleted."),
    "usage": ("deletion", "Show how much is kept, and how much may be."),
    "predict": ("learn", "Classify files here and now, without a server."),
    "data": ("data", "Report on labelled images, and find copies of one photograph."),
    "train": ("learn", "Train a model bundle by a recipe."),
    "runs": ("learn", "Print the table of training runs and their scores."),
    "evaluate": ("evaluate", "Score a model bundle on labelled images."),
    "adapt": ("adapt", "Adapt a model bundle to a laboratory by its own crops."),
    "model": ("models", "List, add, activate and roll back models."),
    "plan": ("planning", "Say how many workers a batch needs by a certain time."),
    "user": ("people", "Add, change and list people, and make their links and tokens."),
    "audit": ("audit", "Check the audit trail, and list what was done."),
    "web": ("service", "Run the web server alone."),
    "worker": ("service", "Run classifying workers alone."),
    "sweep": ("service", "Run the sweep alone."),
    "db": ("service", "Bring the tables up to date, and clean the image store."),
    "settings": ("service", "List every setting with its value."),
}


class Commands(click.Group):
    """Loads a command's module when it is called, and shows our errors as sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or None if there is no such one."""
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
        """Run; an error of ours ends with its sentence and status 1, never with a traceback."""
        try:
            return super().invoke(ctx)
        except HematoVisionError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(_sentence(error)) from error
        except Exception as error:
            # SQLAlchemy is loaded by the commands that use a database, and by those alone.
            if "sqlalchemy" not in sys.modules:
                raise
            from core.outages import trouble_of

            if trouble := trouble_of(error):
                raise click.ClickException(str(trouble)) from error
            raise


def _sentence(error: OSError) -> str:
    """Say what the system says, and of which file."""
    name = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{name}. What was written before is kept."


@click.group(cls=Commands, epilog=NOTICE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("hematovision"), prog_name="hematovision")
def main() -> None:
    """HematoVision classifies blood-cell images in batches."""
    # File names and results may hold patient data: whatever is made here, by the programs that are
    # started from here too, is its owner's alone.
    os.umask(0o077)
