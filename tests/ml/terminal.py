"""What a command of this room says to people."""

from __future__ import annotations

from click.testing import Result


def sentence(result: Result) -> str:
    """The error a person sees: one sentence, never a traceback."""
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.stderr
