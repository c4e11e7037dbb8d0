"""An application over SQLite, memory blobs and a memory queue, and people to use it."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from PIL import Image as Picture
from sqlalchemy import select
from werkzeug.test import TestResponse

import migrations
from core import jobs, registry
from core.audit import SYSTEM
from core.blobs import MemoryBlobs
from core.db import Database
from core.installation import Installation
from core.jobs import Failure
from core.people import accounts, tokens
from core.people.accounts import RoleName
from core.people.membership import add_person
from core.queue import MemoryQueue
from core.registry import BundleFacts
from core.settings import Settings
from core.states import ShardState, TokenKind
from core.tables import Model, Role, Shard, User
from lexicon.outcomes import Outcome
from lexicon.verdicts import Box, Verdict
from tests.conftest import wipe
from web import create_app

PASSWORD = "a long enough password"
CLASSES = ["eosinophil", "lymphocyte", "monocyte", "neutrophil"]
DIGEST = "d" * 64
SHOWN = {"few_shot": ["monocyte"], "trust": {"temperature": 1.2}}
Png = Callable[..., bytes]
Api = Callable[..., TestResponse]
Submitted = Callable[..., int]
Classify = Callable[..., None]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file with one person of each role, copied for every test."""
    path = tmp_path_factory.mktemp("web") / "empty.db"
    migrations.upgrade(f"sqlite:///{path}")
    database = Database(f"sqlite:///{path}")
    for email, role in (
        ("a@laboratory.test", RoleName.LABORATORY),
        ("b@laboratory.test", RoleName.LABORATORY),
        ("doctor@clinic.test", RoleName.CLINICIAN),
        ("admin@localhost", RoleName.ADMINISTRATOR),
    ):
        add_person(database, SYSTEM, email, role, PASSWORD)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.dispose()
    return path


@pytest.fixture
def settings(tmp_path: Path, empty_database: Path) -> Settings:
    """Settings over a fresh copy of the database; limits small enough to exceed."""
    (tmp_path / "hematovision.db").write_bytes(empty_database.read_bytes())
    return Settings(
        data=tmp_path,
        secret_key="s" * 40,
        redis_url="memory://",
        max_file_bytes=200_000,
        max_pixels=1_000_000,
        max_job_files=50,
        shard_size=4,
        laboratory="Test laboratory",
    )


@pytest.fixture
def database(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    """The database the application uses: SQLite, or also PostgreSQL for a test `on_both`."""
    sqlite = Database(settings.database)
    if getattr(request, "param", "sqlite") == "postgresql":
        server: Database = request.getfixturevalue("postgresql_database")
        _take_people(sqlite, server)
        yield server
        wipe(server)
    else:
        yield sqlite
    sqlite.dispose()


on_both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def _take_people(source: Database, target: Database) -> None:
    """Copy the people, in their order: making their passwords anew would take its time."""
    with source.reading() as session:
        people = session.scalars(select(User).order_by(User.id)).all()
    with target.writing() as session:
        accounts.ensure_roles(session)
        for user in people:
            names = [role.name for role in user.roles]
            roles = list(session.scalars(select(Role).where(Role.name.in_(names))))
            copy = User(email=user.email, password=user.password)
            copy.roles = roles
            session.add(copy)
            session.flush()


@pytest.fixture
def blobs() -> MemoryBlobs:
    """The image store."""
    return MemoryBlobs()


@pytest.fixture
def queue() -> MemoryQueue:
    """The doorbell."""
    return MemoryQueue()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Compiled templates, kept for all tests: each has an application of its own."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def app(
    settings: Settings,
    database: Database,
    blobs: MemoryBlobs,
    queue: MemoryQueue,
    compiled: FileSystemBytecodeCache,
) -> Flask:
    """The application, with CSRF and all else as in service."""
    made = create_app(Installation(settings, database, blobs, queue))
    made.jinja_env.bytecode_cache = compiled
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser that nobody has signed in with."""
    return app.test_client()


class Browser:
    """A signed-in browser: sends the CSRF token as our scripts and forms do."""

    def __init__(self, client: FlaskClient, link: str) -> None:
        self.client = client
        assert open_link(client, link).status_code == 302
        self.csrf = csrf_of(client.get("/account").text)

    def submit(self, path: str, form: dict[str, Any] | None = None) -> TestResponse:
        """Post a form as its page would."""
        return self.client.post(path, data={**(form or {}), "csrf_token": self.csrf})

    def get(self, path: str, **options: Any) -> TestResponse:
        """Get a page."""
        return self.client.get(path, buffered=True, **options)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> TestResponse:
        """Call the API as our scripts do."""
        headers = {"X-CSRFToken": self.csrf} if method != "GET" else {}
        return self.client.open(f"/api/v1{path}", method=method, json=body, headers=headers)


def open_link(client: FlaskClient, link: str) -> TestResponse:
    """Sign in by a link, as its page does by itself."""
    token = csrf_of(client.get(link).text)
    return client.post(link, data={"csrf_token": token})


def csrf_of(page: str) -> str:
    """Return the CSRF token in a page's head."""
    token = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert token, page
    return token[1]


SignIn = Callable[[str], Browser]


@pytest.fixture
def sign_in(app: Flask, database: Database) -> SignIn:
    """Return a function that signs a person in with a browser of their own."""

    def enter(email: str) -> Browser:
        with database.writing() as session:
            user = accounts.find_person(session, email)
            link = tokens.issue(session, user, TokenKind.SIGN_IN, "test")
        return Browser(app.test_client(), f"/sign-in/{link}")

    return enter


@pytest.fixture
def laboratory(sign_in: SignIn) -> Browser:
    """Somebody who submits."""
    return sign_in("a@laboratory.test")


@pytest.fixture
def png() -> Png:
    """Return a function that draws a small PNG; another shade, another file."""

    def draw(shade: int = 100, size: tuple[int, int] = (32, 32), kind: str = "PNG") -> bytes:
        out = io.BytesIO()
        Picture.new("RGB", size, (shade % 256, shade // 256 % 256, 120)).save(out, kind)
        return out.getvalue()

    return draw


@pytest.fixture
def api(app: Flask, database: Database) -> Api:
    """Return a function that calls the API with the token of laboratory A, or of another."""
    secrets: dict[str, str] = {}
    client = app.test_client()

    def secret_of(email: str) -> str:
        if email not in secrets:
            with database.writing() as session:
                user = accounts.find_person(session, email)
                secrets[email] = tokens.issue(session, user, TokenKind.API, "test")
        return secrets[email]

    def call(
        method: str, path: str, email: str = "a@laboratory.test", **options: Any
    ) -> TestResponse:
        headers = {"Authorization": f"Bearer {secret_of(email)}"}
        options.setdefault("buffered", True)
        return client.open(f"/api/v1{path}", method=method, headers=headers, **options)

    return call


def content(answer: TestResponse) -> dict[str, Any]:
    """Return the JSON of an answer."""
    document: dict[str, Any] = json.loads(answer.text)
    return document


def open_job(api: Api, email: str = "a@laboratory.test", name: str = "Slide 7") -> int:
    """Open a job and return its id."""
    return int(content(api("POST", "/jobs", email, json={"name": name}))["id"])


def announce(api: Api, job: int, files: dict[str, bytes], email: str) -> list[dict[str, Any]]:
    """Send a manifest with hashes and return its lines."""
    entries = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    answer = api("POST", f"/jobs/{job}/manifest", email, json={"files": entries})
    assert answer.status_code == 200, answer.text
    lines: list[dict[str, Any]] = content(answer)["files"]
    return lines


def send(
    api: Api, job: int, files: dict[str, bytes], email: str = "a@laboratory.test"
) -> list[dict[str, Any]]:
    """Announce files, send those that are needed, and return what became of each."""
    lines = announce(api, job, files, email)
    for number, data in enumerate(files.values()):
        if lines[number]["needed"]:
            answer = api("PUT", f"/jobs/{job}/images/{lines[number]['id']}", email, data=data)
            assert answer.status_code == 200, answer.text
            lines[number] |= content(answer)
    return lines


@pytest.fixture
def submitted(api: Api) -> Submitted:
    """Return a function that submits files by the API and returns the job's id."""

    def submit(files: dict[str, bytes], email: str = "a@laboratory.test") -> int:
        job = open_job(api, email)
        send(api, job, files, email)
        answer = api("POST", f"/jobs/{job}/submit", email, json={})
        assert answer.status_code == 200, answer.text
        return job

    return submit


@pytest.fixture
def classify(database: Database) -> Classify:
    """Return a function that does the workers' part for all that waits, through `core.jobs`."""

    def work(
        judge: Callable[[int], Verdict | Failure] = judge_in_turn, shards: int = 10**6
    ) -> None:
        with database.writing() as session:
            if session.get(Model, DIGEST) is None:
                facts = BundleFacts(DIGEST, "wbc4", "1.0", tuple(CLASSES), {}, SHOWN)
                registry.start_with(session, facts)
            waiting = session.scalars(
                select(Shard.id).where(Shard.state.in_((ShardState.WAITING, ShardState.PUBLISHED)))
            ).all()
        for shard_id in waiting[:shards]:
            with database.writing() as session:
                claim = jobs.claim(session, shard_id, "worker", 60)
                assert claim is not None
                results = {work.image_id: judge(work.image_id) for work in claim.work}
                jobs.record(session, claim, claim.model_digest or DIGEST, results)
            with database.writing() as session:
                jobs.settle(session, claim.job_id)

    return work


def judge_in_turn(image_id: int) -> Verdict:
    """Give each image the next class, each a little less certain than the one before."""
    best = 0.99 - (image_id % 30) / 100
    rest = (1 - best) / 3
    probabilities = [rest] * 4
    probabilities[image_id % 4] = best
    return Verdict(CLASSES[image_id % 4], best, Outcome.ACCEPTED, tuple(probabilities))


DOUBT = Verdict(
    label="eosinophil",
    confidence=0.55,
    outcome=Outcome.UNCERTAIN,
    probabilities=(0.55, 0.01, 0.01, 0.43),
    candidates=("eosinophil", "neutrophil"),
    reason="between_classes",
    familiarity=0.62,
    box=Box(0.25, 0.2, 0.75, 0.625),
)
STRANGE = Verdict(
    label="monocyte",
    confidence=0.71,
    outcome=Outcome.UNFAMILIAR,
    probabilities=(0.1, 0.1, 0.71, 0.09),
    candidates=("monocyte",),
    reason="several_cells",
    familiarity=0.004,
)


def judge_variously(image_id: int) -> Verdict:
    """Doubt every fourth image from the first on, find each after it strange, accept the rest."""
    return {1: DOUBT, 2: STRANGE}.get(image_id % 4) or judge_in_turn(image_id)
