"""The settings: one frozen table of name, type, default and help.

Each field is read from the environment as ``HEMATOVISION_<NAME>``. `docs/settings.md` lists them;
a test holds that page and the deployment files to this table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigurationError
from lexicon.formats import MOST_PIXELS

PREFIX = "HEMATOVISION_"


class LogLevel(StrEnum):
    """How much a process says of what it does."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class TotpRule(StrEnum):
    """Who must have a second factor to sign in with a password; everybody else may."""

    NONE = "none"
    ADMINISTRATORS = "administrators"
    ALL = "all"


class Settings(BaseSettings):
    """All that can be set. Frozen: a process reads it once, where it is wired."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data: Path = Field(
        default_factory=lambda: Path.home() / ".hematovision",
        description="Folder that holds everything of a one-machine installation.",
    )
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the data folder.")
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="Where Celery's broker listens; also redis+socket."
    )
    blob_root: str = Field("", description="Folder of the image store; empty: in the data folder.")
    secret_key: str = Field(
        "", description="Signs sessions and links, 32 characters or more; `up` makes its own."
    )
    bundle: str = Field(
        "", description="Folder of the model bundle to start with; empty: the one that ships."
    )
    models_cache: str = Field(
        "", description="Folder where workers unpack models; empty: beside the image store."
    )
    trusted_model_keys: str = Field(
        "",
        description="Public keys by one of which bundles must be signed, with commas between them; "
        "empty: unsigned ones may be added too.",
    )
    laboratory: str = Field("Laboratory", description="Name at the head of pages and reports.")
    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the web server listens on.")
    web_workers: int = Field(2, ge=1, description="Web server processes.")
    web_threads: int = Field(
        8, ge=1, description="Threads of each web server process for pages and small files."
    )
    web_upload_threads: int = Field(
        32, ge=1, description="Threads of each web server process for what takes long to send."
    )
    web_connections: int = Field(
        1000, ge=8, description="Most connections of each web server process at a time."
    )
    web_connections_each: int = Field(
        500, ge=8, description="Most of them from one address; not counted behind a proxy."
    )
    allowed_hosts: str = Field(
        "",
        description="Names under which people open the pages, with commas between them; addresses "
        "in digits, localhost and the machine's own name need not be listed.",
    )
    secure_cookies: bool = Field(False, description="Send cookies over HTTPS only; on behind TLS.")
    session_hours: float = Field(
        12, gt=0, description="A person signs in anew after so many hours."
    )
    session_idle_minutes: float = Field(
        60, gt=0, description="A person who did nothing for so many minutes signs in anew."
    )
    require_totp: TotpRule = Field(
        TotpRule.NONE,
        description="Who must have a second factor: none, administrators or all.",
    )
    trusted_proxies: int = Field(0, ge=0, description="Reverse proxies in front of the web server.")
    workers: int = Field(0, ge=0, description="Worker processes on this machine; 0: one a core.")
    threads: int = Field(0, ge=0, description="Cores of one worker process; 0: shared out evenly.")
    shard_size: int = Field(128, ge=1, le=1000, description="Most images of one unit of work.")
    interactive_limit: int = Field(
        16, ge=0, description="Jobs of up to so many images overtake the big ones."
    )
    shards_per_worker: int = Field(
        3, ge=1, description="Units of work out at a time for each worker process."
    )
    lease_seconds: float = Field(
        15, gt=1, description="A worker silent for so long has lost its work to another."
    )
    max_attempts: int = Field(
        3, ge=1, description="Workers one image may kill before it is set aside as failed."
    )
    sweep_seconds: float = Field(2, gt=0, description="Pause between two sweeps.")
    max_file_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="Largest file that is accepted, in bytes."
    )
    max_pixels: int = Field(
        MOST_PIXELS, ge=4096, description="Largest image that is accepted, in pixels."
    )
    max_job_files: int = Field(100_000, ge=1, description="Most files in one job.")
    max_archive_bytes: int = Field(
        16 * 1024**3, ge=1024, description="Largest archive, as sent and unpacked, in bytes."
    )
    quota_person_bytes: int = Field(
        100 * 1024**3, ge=0, description="Bytes of images one person may keep; 0: no limit."
    )
    quota_person_jobs: int = Field(
        1000, ge=0, description="Jobs one person may have open at a time; 0: no limit."
    )
    quota_person_requests: int = Field(
        60_000, ge=0, description="Requests of one person per minute; 0: no limit."
    )
    quota_laboratory_bytes: int = Field(
        0, ge=0, description="Bytes of images all people together may keep; 0: no limit."
    )
    quota_laboratory_jobs: int = Field(
        10_000, ge=0, description="Jobs all people together may have open; 0: no limit."
    )
    quota_laboratory_requests: int = Field(
        0, ge=0, description="Requests of all people together per minute; 0: no limit."
    )
    delete_grace_days: int = Field(
        7, ge=0, le=3650, description="Days in which a deletion can be undone; 0: it is at once."
    )
    retention_days: int = Field(
        0, ge=0, le=36_500, description="Days after its end when a job is deleted; 0: never."
    )
    picture_retention_days: int = Field(
        0, ge=0, le=36_500, description="Days after which a job's pictures are deleted; 0: never."
    )
    reserve_bytes: int = Field(
        1024**3, ge=0, description="Free space below which only work goes on, in bytes; 0: none."
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="DEBUG, INFO, WARNING or ERROR.")

    @classmethod
    def from_env(cls, **overrides: object) -> Self:
        """Read the environment; ``overrides`` win.

        Raises:
            ConfigurationError: a variable is unknown or has a value that can't be used.
        """
        known = {PREFIX + name.upper() for name in cls.model_fields}
        unknown = sorted(k for k in os.environ if k.startswith(PREFIX) and k not in known | OTHER)
        if unknown:
            raise ConfigurationError(f"There is no setting {', '.join(unknown)}.")
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            raise ConfigurationError(_sentence(error)) from error

    @property
    def database(self) -> str:
        """The database's URL, SQLite in the data folder unless one is set."""
        return self.database_url or f"sqlite:///{self.data / 'hematovision.db'}"

    @property
    def database_folder(self) -> Path | None:
        """The folder of a SQLite database, None for a server's."""
        kind, _, file = self.database.partition(":///")
        return Path(file).parent if kind == "sqlite" and file else None

    @property
    def blobs(self) -> Path:
        """The folder of the image store."""
        return Path(self.blob_root) if self.blob_root else self.data / "blobs"

    @property
    def unpacked_models(self) -> Path:
        """The folder where workers unpack the models they fetch from the store."""
        return Path(self.models_cache) if self.models_cache else self.blobs.parent / "models"


# Variables of the command line and of the tests that share the prefix but set no process up.
OTHER = {PREFIX + name for name in ("SERVER", "TOKEN", "TEST_DATA", "PASSWORD")}


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: variable, type, default and help, all as text."""

    variable: str
    type: str
    default: str
    help: str


def table() -> Iterator[Setting]:
    """Yield the settings in the order they are declared."""
    for name, field in Settings.model_fields.items():
        default = "~/.hematovision" if name == "data" else str(field.get_default())
        kind = getattr(field.annotation, "__name__", str(field.annotation))
        yield Setting(PREFIX + name.upper(), kind, default, field.description or "")


def _sentence(error: ValidationError) -> str:
    parts = [f"{PREFIX}{e['loc'][0]!s}".upper() + f": {e['msg']}" for e in error.errors()]
    return "A setting can't be used. " + "; ".join(parts) + "."
