"""The table of settings: read from the environment, refused by name, documented."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigurationError
from core.settings import LogLevel, Settings, TotpRule, table

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


FIELDS = Settings.model_fields
NUMBERS = [name for name, field in FIELDS.items() if field.annotation in (int, float)]
# Of these settings 0 means what their help says of it, or simply none.
MAY_BE_NONE = {"trusted_proxies", "interactive_limit"}


def variable(name: str) -> str:
    """Return the variable of a setting."""
    return f"HEMATOVISION_{name.upper()}"


def refusal(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    """Return what is said of an environment; "" if it can be used."""
    with monkeypatch.context() as patch:
        for name, value in values.items():
            patch.setenv(variable(name), value)
        try:
            Settings.from_env()
        except ConfigurationError as error:
            return str(error)
        return ""


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_neither_negative_nor_endless_nor_a_word(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("-1", "-0.5", "inf", "-inf", "nan", "", "many", "1,5", "0x10"):
        said = refusal(monkeypatch, **{name: value})
        assert said.count("HEMATOVISION_") == 1, f"{value!r} was taken for {name}"
        assert variable(name) in said


@pytest.mark.parametrize("name", NUMBERS)
def test_nought_is_taken_where_its_meaning_is_told_and_nowhere_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "0: " in (FIELDS[name].description or "") or name in MAY_BE_NONE
    assert (refusal(monkeypatch, **{name: "0"}) == "") is told


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("port", "1", "65535"),
        ("shard_size", "1", "1000"),
        ("web_connections", "8", None),
        ("web_connections_each", "8", None),
        ("max_file_bytes", "1024", None),
        ("max_archive_bytes", "1024", None),
        ("max_pixels", "4096", None),
        ("delete_grace_days", "0", "3650"),
        ("retention_days", "0", "36500"),
        ("picture_retention_days", "0", "36500"),
    ],
)
def test_the_ends_of_a_range_belong_to_it_and_what_is_next_to_them_does_not(
    name: str, least: str, most: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(monkeypatch, **{name: least}) == ""
    assert variable(name) in refusal(monkeypatch, **{name: str(int(least) - 1)})
    if most is not None:
        assert refusal(monkeypatch, **{name: most}) == ""
        assert variable(name) in refusal(monkeypatch, **{name: str(int(most) + 1)})


def test_a_lease_of_a_second_or_less_could_not_be_renewed_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert variable("lease_seconds") in refusal(monkeypatch, lease_seconds="1")
    assert refusal(monkeypatch, lease_seconds="1.5") == ""


@pytest.mark.parametrize(("name", "kind"), [("log_level", LogLevel), ("require_totp", TotpRule)])
def test_of_words_those_of_the_help_are_taken_and_no_others(
    name: str, kind: type[StrEnum], monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in kind:
        assert refusal(monkeypatch, **{name: word.value}) == ""
        assert word.value in (FIELDS[name].description or "")
    for other in ("", "some", f"{next(iter(kind)).value} "):
        assert variable(name) in refusal(monkeypatch, **{name: other})


def test_all_that_is_wrong_is_named_at_once_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = refusal(monkeypatch, port="http", shard_size="0", secure_cookies="perhaps", host="::1")
    for name in ("port", "shard_size", "secure_cookies"):
        assert said.count(variable(name)) == 1
    assert variable("host") not in said
    assert said.startswith("Some settings can't be used. ")


def test_an_override_that_is_no_setting_or_can_t_be_used_is_named() -> None:
    with pytest.raises(ConfigurationError, match="HEMATOVISION_PROT"):
        Settings.from_env(prot=9000)
    with pytest.raises(ConfigurationError, match="HEMATOVISION_PORT"):
        Settings.from_env(port=0)


def test_what_a_secret_is_stands_in_no_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(
        monkeypatch, secret_key="sesame", database_url="postgresql://u:sesame@db/x", port="sesame!"
    )
    assert variable("port") in said
    assert "sesame" not in said


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("sqlite:////var/lab/x.db", Path("/var/lab")),
        ("sqlite:///x.db", Path()),
        ("postgresql+psycopg://db/x", None),
        ("sqlite://", None),
    ],
)
def test_the_folder_of_a_database_is_known_if_it_is_a_file(url: str, folder: Path | None) -> None:
    assert Settings.from_env(database_url=url).database_folder == folder


def test_what_has_no_place_of_its_own_lies_in_the_data_folder(tmp_path: Path) -> None:
    plain = Settings.from_env(data=tmp_path)
    assert (plain.blobs, plain.unpacked_models) == (tmp_path / "blobs", tmp_path / "models")
    assert plain.database_folder == tmp_path
    moved = Settings.from_env(data=tmp_path, blob_root="/mnt/images/store")
    assert moved.unpacked_models == Path("/mnt/images/models"), "beside the store"
    chosen = Settings.from_env(data=tmp_path, blob_root="/mnt/images", models_cache="/fast")
    assert chosen.unpacked_models == Path("/fast")
