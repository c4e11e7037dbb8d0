"""`hematovision model`: from a bundle's folder to the active model and back."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from core.db import Database
from core.tables import Model
from hematovision.cli import main
from ml.bundle import Bundle, default_bundle_path
from ml.bundle.folder import METADATA, ONNX


class Shell:
    """A command line whose data folder is this test's own."""

    def __init__(self, data: Path) -> None:
        self.data, self._runner = data, CliRunner()

    def __call__(self, *words: str) -> Result:
        return self._runner.invoke(main, ["model", *words])

    def fine(self, *words: str) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self(*words)
        assert done.exit_code == 0, done.output
        return done.output

    def refused(self, *words: str) -> str:
        """Run a command that must end with a sentence; return that."""
        done = self(*words)
        assert done.exit_code == 1, done.output
        assert done.output.startswith("Error: ")
        assert isinstance(done.exception, SystemExit)
        return done.output

    def listed(self) -> dict[str, str]:
        """Return the states by version."""
        return {
            model["version"]: model["state"] for model in json.loads(self.fine("list", "--json"))
        }


@pytest.fixture
def model(data: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell over an installation."""
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(data)


def bundle(folder: Path, version: str, **changes: object) -> Bundle:
    """Write the shipped bundle under another version."""
    shutil.copytree(default_bundle_path(), folder / version)
    document = json.loads((folder / version / METADATA).read_text())
    document |= {"version": version, **changes}
    (folder / version / METADATA).write_text(json.dumps(document))
    return Bundle.load(folder / version)


def test_an_empty_list_says_what_to_do(model: Shell) -> None:
    assert "hematovision model add" in model.fine("list")


def test_a_bundle_is_added_activated_and_rolled_back_from(model: Shell, tmp_path: Path) -> None:
    first, second = (bundle(tmp_path, version) for version in ("one", "two"))
    output = model.fine("add", str(first.path))
    assert "Its state is candidate" in output
    assert f"hematovision model activate {first.digest[:12]}" in output
    model.fine("add", str(second.path))
    assert (model.data / "blobs" / "models" / f"{second.digest}.zip").is_file()
    model.fine("activate", first.digest[:10])
    assert "is the active model" in model.fine("activate", second.digest[:10])
    assert model.listed() == {"two": "active", "one": "candidate"}
    assert "is the active model again" in model.fine("rollback")
    assert model.listed() == {"one": "active", "two": "candidate"}
    assert "No other model was active" in model.refused("rollback")


def test_shadows_and_retired_models_come_back_as_candidates(model: Shell, tmp_path: Path) -> None:
    digest = bundle(tmp_path, "one").digest
    model.fine("add", str(tmp_path / "one"))
    for command, state in (("shadow", "shadow"), ("candidate", "candidate"), ("retire", "retired")):
        model.fine(command, digest)
        assert model.listed() == {"one": state}
    assert "is retired" in model.refused("activate", digest)
    model.fine("candidate", digest)
    model.fine("activate", digest)
    assert "is the active model" in model.refused("retire", digest)


def test_the_list_shows_scores_and_marks_few_shot_classes(model: Shell, tmp_path: Path) -> None:
    scores = {"test": {"accuracy": 0.95, "intervals": {"accuracy": {"low": 0.94, "high": 0.96}}}}
    bundle(tmp_path, "one", scores=scores, data={"few_shot": ["monocyte"], "sources": ["bccd4"]})
    model.fine("add", str(tmp_path / "one"))
    table = model.fine("list")
    assert "test: 95.0 % [94.0–96.0]" in table  # noqa: RUF001
    assert "MO*" in table and "few training images" in table
    card = model.fine("card", Bundle.load(tmp_path / "one").digest[:8])
    assert "monocyte (few training images)" in card
    assert "| image sets | bccd4 |" in card and "## Intended use" in card


def test_the_card_of_a_bundle_in_a_folder_needs_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path / "nowhere"))
    shell, out = Shell(tmp_path / "nowhere"), tmp_path / "card.md"
    shipped = bundle(tmp_path, "one")
    assert f"The card of {shipped.title} is in {out}." in shell.fine(
        "card", str(shipped.path), "--out", str(out)
    )
    assert out.read_text() == shell.fine("card", str(shipped.path))
    assert out.read_text().startswith("# Model card: wbc8 one")
    out.write_text("{}")
    output = shell.refused("card", str(shipped.path), "--evaluation", str(out))
    assert "is no evaluation" in output
    assert not (tmp_path / "nowhere").exists()


def test_other_classes_must_be_meant(model: Shell, tmp_path: Path) -> None:
    first = bundle(tmp_path, "one")
    names = [*first.metadata.classes[:-1], "blast"]
    second = bundle(tmp_path, "two", classes=names)
    for shipped in (first, second):
        model.fine("add", str(shipped.path))
    model.fine("activate", first.digest)
    assert "--other-classes" in model.refused("activate", second.digest)
    model.fine("activate", second.digest, "--other-classes")


def test_what_is_no_bundle_is_said_and_nothing_is_added(model: Shell, tmp_path: Path) -> None:
    assert "There is no bundle" in model.refused("add", str(tmp_path))
    tampered = bundle(tmp_path, "one").path
    with (tampered / ONNX).open("ab") as file:
        file.write(b"?")
    assert "differs from the file that was written" in model.refused("add", str(tampered))
    assert model.listed() == {}
    assert not (model.data / "blobs" / "models").exists()


def test_a_model_of_a_leaking_split_is_refused(model: Shell, tmp_path: Path) -> None:
    leaking = bundle(tmp_path, "one", data={"leaking": True})
    assert "which leaks" in model.refused("add", str(leaking.path))
    assert model.listed() == {}
    assert not (model.data / "blobs" / "models").exists()


def test_adding_a_model_again_mends_a_stored_copy_that_is_damaged(
    model: Shell, tmp_path: Path
) -> None:
    shipped = bundle(tmp_path, "one")
    model.fine("add", str(shipped.path))
    stored = model.data / "blobs" / "models" / f"{shipped.digest}.zip"
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-100])
    model.fine("add", str(shipped.path))
    assert stored.read_bytes() == whole


def test_an_unknown_or_unclear_digest_is_said(model: Shell, tmp_path: Path) -> None:
    for command in ("activate", "shadow", "retire", "candidate", "card"):
        assert "There is no model with this digest" in model.refused(command, "abc")


def test_a_model_of_an_earlier_version_waits_for_its_bundle(model: Shell, tmp_path: Path) -> None:
    shipped = bundle(tmp_path, "one")
    database = Database(f"sqlite:///{model.data / 'hematovision.db'}")
    with database.writing() as session:
        session.add(Model(digest=shipped.digest, name="wbc4", version="one", classes=["x"]))
    database.dispose()
    assert "model add FOLDER" in model.refused("activate", shipped.digest)
    model.fine("add", str(shipped.path))
    model.fine("activate", shipped.digest)


def test_a_database_without_tables_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path))
    assert "hematovision db upgrade" in Shell(tmp_path).refused("list")


def test_a_bundle_that_does_not_work_is_refused_and_the_trail_says_so(
    model: Shell, tmp_path: Path
) -> None:
    shipped = bundle(tmp_path, "one", classes=["<b>" * n for n in range(1, 9)])
    for command in ("try", "add"):
        assert "A class of the bundle has a name" in model.refused(command, str(shipped.path))
    assert model.listed() == {}
    assert not (model.data / "blobs" / "models").exists()
    listed = CliRunner().invoke(main, ["audit", "list"]).output
    assert "model_refused" in listed


def test_where_keys_are_trusted_a_bundle_must_be_signed_by_one(
    model: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = str(bundle(tmp_path, "one").path)
    ours, foreign = (
        model.fine("key", str(tmp_path / name)).strip() for name in ("ours", "foreign")
    )
    assert (tmp_path / "ours").stat().st_mode & 0o077 == 0
    assert "never overwritten" in model.refused("key", str(tmp_path / "ours"))
    monkeypatch.setenv("HEMATOVISION_TRUSTED_MODEL_KEYS", f"{'0' * 64}, {ours}")
    assert "is not signed" in model.refused("add", shipped)
    model.fine("sign", shipped, "--key", str(tmp_path / "foreign"))
    assert f"signed by {foreign[:12]}" in model.refused("add", shipped)
    model.fine("sign", shipped, "--key", str(tmp_path / "ours"))
    assert "works" in model.fine("try", shipped)
    assert f"It is signed by {ours[:12]}." in model.fine("add", shipped)
    assert json.loads(model.fine("list", "--json"))[0]["signed_by"] == ours
    monkeypatch.setenv("HEMATOVISION_TRUSTED_MODEL_KEYS", "not a key")
    assert "64 hexadecimal digits" in model.refused("add", shipped)


def test_a_bundle_that_is_signed_later_is_kept_with_its_signature(
    model: Shell, tmp_path: Path
) -> None:
    shipped = bundle(tmp_path, "one")
    assert "nobody vouches for it" in model.fine("add", str(shipped.path))
    model.fine("key", str(tmp_path / "key"))
    model.fine("sign", str(shipped.path), "--key", str(tmp_path / "key"))
    assert "It is signed by" in model.fine("add", str(shipped.path))
    stored = model.data / "blobs" / "models" / f"{shipped.digest}.zip"
    assert "signature.json" in zipfile.ZipFile(stored).namelist()
    # A copy without the signature does not take it away again.
    (shipped.path / "signature.json").unlink()
    assert "It is signed by" in model.fine("add", str(shipped.path))
    assert "signature.json" in zipfile.ZipFile(stored).namelist()


def test_every_move_at_the_command_line_is_noted(model: Shell, tmp_path: Path) -> None:
    for version in ("one", "two"):
        model.fine("add", str(bundle(tmp_path, version).path))
    digests = [Bundle.load(tmp_path / version).digest for version in ("one", "two")]
    for words in (
        ("activate", digests[0]),
        ("activate", digests[1]),
        ("rollback",),
        ("shadow", digests[1]),
        ("candidate", digests[1]),
        ("retire", digests[1]),
    ):
        model.fine(*words)
    lines = CliRunner().invoke(main, ["audit", "list", "--json"]).output.splitlines()
    assert [json.loads(line)["action"] for line in reversed(lines)] == [
        *["model_added"] * 2,
        *["model_activated"] * 2,
        "model_rolled_back",
        *["model_state_changed"] * 2,
        "model_retired",
    ]
