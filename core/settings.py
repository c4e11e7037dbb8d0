"""The settings: one frozen table of names, types, defaults and help texts.

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
    """How much a process logs."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class TotpRule(StrEnum):
    """Who must use a second factor when signing in with a password; for others it is optional."""

    NONE = "none"
    ADMINISTRATORS = "administrators"
    ALL = "all"


class Settings(BaseSettings):
    """All settings. Frozen: a process reads them once, when it starts."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", allow_inf_nan=False
    )

    data: Path = Field(
        default_factory=lambda: Path.home() / ".hematovision",
        description="Folder that holds all data of a one-machine installation.",
    )
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the data folder.")
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="URL of Celery's broker; also redis+socket."
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
        description="Public keys, separated by commas; one of them must have signed each bundle. "
        "Empty: unsigned bundles may be added too.",
    )
    laboratory: str = Field("Laboratory", description="Name at the top of pages and reports.")
    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the web server listens on.")
    web_workers: int = Field(2, ge=1, description="Web server processes.")
    web_threads: int = Field(
        8, ge=1, description="Threads per web server process for pages and small files."
    )
    web_upload_threads: int = Field(
        32, ge=1, description="Threads per web server process for slow or large transfers."
    )
    web_connections: int = Field(
        1000, ge=8, description="Most connections per web server process at a time."
    )
    web_connections_each: int = Field(
        500,
        ge=8,
        description="Most of those connections from one address; not counted behind a proxy.",
    )
    allowed_hosts: str = Field(
        "",
        description="Host names under which people open the pages, separated by commas; numeric "
        "addresses, localhost and the machine's own name need not be listed.",
    )
    secure_cookies: bool = Field(False, description="Send cookies over HTTPS only; on behind TLS.")
    session_hours: float = Field(
        12, gt=0, description="Hours after which a person must sign in again."
    )
    session_idle_minutes: float = Field(
        60, gt=0, description="Idle minutes after which a person must sign in again."
    )
    require_totp: TotpRule = Field(
        TotpRule.NONE,
        description="Who must use a second factor: none, administrators or all.",
    )
    trusted_proxies: int = Field(0, ge=0, description="Reverse proxies in front of the web server.")
    workers: int = Field(0, ge=0, description="Worker processes on this machine; 0: one per core.")
    threads: int = Field(0, ge=0, description="Cores per worker process; 0: shared evenly.")
    shard_size: int = Field(
        128, ge=1, le=1000, description="Most images in one unit of work (shard)."
    )
    interactive_limit: int = Field(
        16, ge=0, description="Jobs with up to this many images overtake larger ones."
    )
    shards_per_worker: int = Field(
        3, ge=1, description="Shards sent out at a time per worker process."
    )
    lease_seconds: float = Field(
        15, gt=1, description="Seconds of silence after which a worker's shard goes to another."
    )
    max_attempts: int = Field(
        3, ge=1, description="Workers that one image may stop before it is marked as failed."
    )
    sweep_seconds: float = Field(2, gt=0, description="Seconds between two sweeps.")
    max_file_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="Largest file accepted, in bytes."
    )
    max_pixels: int = Field(MOST_PIXELS, ge=4096, description="Largest image accepted, in pixels.")
    max_job_files: int = Field(100_000, ge=1, description="Most files in one job.")
    max_archive_bytes: int = Field(
        16 * 1024**3, ge=1024, description="Largest archive, packed or unpacked, in bytes."
    )
    quota_person_bytes: int = Field(
        100 * 1024**3, ge=0, description="Bytes of images that one person may keep; 0: no limit."
    )
    quota_person_jobs: int = Field(
        1000, ge=0, description="Jobs that one person may have open at a time; 0: no limit."
    )
    quota_person_requests: int = Field(
        60_000, ge=0, description="Requests per minute from one person; 0: no limit."
    )
    quota_laboratory_bytes: int = Field(
        0, ge=0, description="Bytes of images that everyone together may keep; 0: no limit."
    )
    quota_laboratory_jobs: int = Field(
        10_000, ge=0, description="Jobs that everyone together may have open; 0: no limit."
    )
    quota_laboratory_requests: int = Field(
        0, ge=0, description="Requests per minute from everyone together; 0: no limit."
    )
    delete_grace_days: int = Field(
        7,
        ge=0,
        le=3650,
        description="Days in which a deletion can be undone; 0: none, deletion is final at once.",
    )
    retention_days: int = Field(
        0, ge=0, le=36_500, description="Days after its end when a job is deleted; 0: never."
    )
    picture_retention_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after its end when a job's pictures are deleted; 0: never.",
    )
    reserve_bytes: int = Field(
        1024**3, ge=0, description="Free space, in bytes, below which uploads are refused; 0: none."
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="DEBUG, INFO, WARNING or ERROR.")

    @classmethod
    def from_env(cls, **overrides: object) -> Self:
        """Read the environment; ``overrides`` win.

        Raises:
            ConfigurationError: a variable is unknown or has a value that can't be used.
        """
        variables = {PREFIX + name.upper() for name in cls.model_fields} | OTHER
        unknown = sorted(k for k in os.environ if k.startswith(PREFIX) and k not in variables)
        if unknown:
            raise ConfigurationError(
                f"There is no setting {', '.join(unknown)}. See `hematovision settings`."
            )
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
        """The folder of a SQLite database; None for a database server."""
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


# Variables of the command line and the tests, which share the prefix but are not settings.
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
    return "Some settings can't be used. " + "; ".join(parts) + "."
