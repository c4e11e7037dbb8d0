"""The table of settings: read from the environment, refused by name, documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigurationError
from core.settings import Settings, table

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_everything_has_a_default() -> None:
    settings = Settings.from_env()
    assert settings.port == 8000
    assert settings.database == f"sqlite:///{Path.home()}/.hematovision/hematovision.db"
    assert settings.blobs == Path.home() / ".hematovision" / "blobs"


def test_the_environment_sets_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMATOVISION_PORT", "9000")
    monkeypatch.setenv("HEMATOVISION_DATABASE_URL", "postgresql+psycopg://db/x")
    monkeypatch.setenv("HEMATOVISION_BLOB_ROOT", "/blobs")
    settings = Settings.from_env()
    assert (settings.port, settings.blobs) == (9000, Path("/blobs"))
    assert settings.database == "postgresql+psycopg://db/x"
    assert Settings.from_env(port=9001).port == 9001


def test_settings_do_not_change_while_a_process_runs(settings: Settings) -> None:
    with pytest.raises(ValidationError):
        settings.port = 9  # type: ignore[misc]


def test_a_variable_that_is_no_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMATOVISION_PROT", "9000")
    with pytest.raises(ConfigurationError, match="no setting HEMATOVISION_PROT"):
        Settings.from_env()


def test_variables_of_the_command_line_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMATOVISION_TOKEN", "hv_x")
    monkeypatch.setenv("HEMATOVISION_SERVER", "http://127.0.0.1:8000")
    assert Settings.from_env().port == 8000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HEMATOVISION_PORT", "http"),
        ("HEMATOVISION_PORT", "70000"),
        ("HEMATOVISION_SHARD_SIZE", "0"),
        ("HEMATOVISION_LEASE_SECONDS", "-1"),
        ("HEMATOVISION_SECURE_COOKIES", "perhaps"),
        ("HEMATOVISION_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        Settings.from_env()


def test_every_setting_is_documented_and_nothing_else() -> None:
    expected = []
    for row in table():
        default = f"`{row.default}`" if row.default else ""
        expected.append(f"| `{row.variable}` | {row.type} | {default} | {row.help} |")
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == expected, "docs/settings.md should have these rows:\n" + "\n".join(expected)
