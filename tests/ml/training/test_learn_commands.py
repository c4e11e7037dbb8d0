"""Training and predicting, as a person types them."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hematovision.commands.learn import predict, runs, train
from ml.bundle import Bundle
from ml.data import read_folder
from ml.training.recipes import load_recipe
from ml.training.recipes.recipe import variant


def run(command: object, *arguments: str | Path) -> Result:
    """Run a command of this module with these arguments."""
    return CliRunner().invoke(command, [str(part) for part in arguments])  # type: ignore[arg-type]


def sentence(result: Result) -> str:
    """The error a person sees: one sentence, never a traceback."""
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.stderr


def test_predict_names_files_by_their_place_in_the_folder(small_set: Path, tmp_path: Path) -> None:
    result = run(predict, small_set / "TEST", "--csv", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    with (tmp_path / "out.csv").open(newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    assert len(names) == 16
    assert names == sorted(names)
    assert names[0].startswith("EOSINOPHIL/_0_")
    assert "16 images classified, 0 failed" in result.stderr


def test_predict_gives_the_same_table_for_any_batch(small_set: Path, tmp_path: Path) -> None:
    tables = []
    for batch in (1, 16):
        table = tmp_path / f"{batch}.csv"
        run(predict, small_set / "TEST", "--csv", table, "--batch", str(batch))
        with table.open(newline="") as file:
            tables.append([(r["file"], r["class"], r["confidence"]) for r in csv.DictReader(file)])
    for (file, label, share), (file_, label_, share_) in zip(*tables, strict=True):
        assert (file, label) == (file_, label_)
        assert float(share) == pytest.approx(float(share_), abs=1e-5)


def test_predict_lists_what_failed_and_why(small_set: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    result = run(predict, small_set / "TEST", bad, "--csv", tmp_path / "out.csv")
    assert result.exit_code == 0
    assert "error: bad.png: The file is empty." in result.stderr
    assert "16 images classified, 1 failed" in result.stderr


def test_predict_fails_if_nothing_could_be_classified(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    result = run(predict, tmp_path, "--csv", tmp_path / "out.csv")
    assert "None of the 1 files could be classified" in sentence(result)


def test_predict_says_that_a_folder_holds_no_image(tmp_path: Path) -> None:
    assert "no images in these folders" in sentence(run(predict, tmp_path, "--csv", tmp_path / "o"))


def test_predict_says_that_a_path_is_not_there(tmp_path: Path) -> None:
    result = run(predict, tmp_path / "nowhere", "--csv", tmp_path / "out.csv")
    assert "no file or folder" in sentence(result)


def test_predict_refuses_a_tampered_bundle(
    shipped: Bundle, small_set: Path, tmp_path: Path
) -> None:
    bundle, table = tmp_path / "bundle", tmp_path / "out.csv"
    shutil.copytree(shipped.path, bundle)
    (bundle / "model.onnx").write_bytes(b"other")
    result = run(predict, small_set, "--csv", table, "--bundle", bundle)
    assert "model.onnx differs from the file that was written" in sentence(result)
    assert not table.exists()


# The baseline as a network that is trained in seconds.
SMALL = [
    "shape.height=32",
    "shape.width=32",
    "architecture.alpha=0.35",
    "head_passes=1",
    "passes=2",
    "rate=0.001",
]


def small_training(data: Path, weights: Path, out: Path) -> list[str | Path]:
    """The options that train a very small network."""
    changes = [part for change in SMALL for part in ("--set", change)]
    return ["--recipe", "baseline", *changes, "--data", data, "--weights", weights, "--out", out]


@pytest.mark.usefixtures("uncompiled")
def test_train_writes_a_bundle_that_predict_takes(
    small_set: Path, small_weights: Path, tmp_path: Path
) -> None:
    out, table = tmp_path / "run", tmp_path / "out.csv"
    result = run(train, *small_training(small_set, small_weights, out))
    assert result.exit_code == 0, (result.output, result.exception)
    assert Bundle.load(out / "bundle").title in result.stdout
    assert "everything: pass 2 of 2: loss" in result.stderr
    result = run(predict, small_set / "TEST", "--csv", table, "--bundle", out / "bundle")
    assert result.exit_code == 0, result.output
    assert "baseline-variant-" in table.read_text()
    result = run(runs, tmp_path / "log.jsonl")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("| run | state")
    assert "| run | finished |" in result.stdout


@pytest.mark.usefixtures("uncompiled")
def test_train_goes_on_with_an_interrupted_run(
    small_set: Path, small_weights: Path, tmp_path: Path
) -> None:
    from ml.training.fitting import Interrupted, TrainingRun
    from ml.training.train import train as train_network

    def stop(stage: str, done: float, words: str) -> None:
        if stage == "everything" and done > 0.5:
            raise KeyboardInterrupt

    recipe, out = variant(load_recipe("baseline"), SMALL), tmp_path / "run"
    with pytest.raises(Interrupted):
        train_network(TrainingRun(recipe, read_folder(small_set), out, small_weights, 0, stop))
    result = run(train, *small_training(small_set, small_weights, out), "--resume")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "pass 1 of 2" not in result.stderr
    assert "pass 2 of 2" in result.stderr
    assert Bundle.load(out / "bundle").metadata.recipe["changes"] == SMALL


@pytest.mark.usefixtures("uncompiled")
def test_train_shouts_that_the_random_protocol_leaks(
    small_set: Path, small_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = [*small_training(small_set, small_weights, out), "--set", "passes=0"]
    result = run(train, *options, "--protocol", "random")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "random_split_that_leaks: accuracy" in result.stdout
    assert "THIS SPLIT LEAKS" in result.stderr
    assert Bundle.load(out / "bundle").metadata.name.endswith("-leaking")


def test_train_refuses_a_change_of_no_field(small_set: Path, tmp_path: Path) -> None:
    options: list[str | Path] = ["--recipe", "baseline", "--data", small_set]
    options += ["--out", tmp_path / "out"]
    assert "'droput' can't be set" in sentence(run(train, *options, "--set", "droput=0.1"))


def test_runs_says_that_there_is_no_log(tmp_path: Path) -> None:
    assert "no log of runs" in sentence(run(runs, tmp_path / "log.jsonl"))


def test_train_refuses_a_folder_that_exists(small_set: Path, tmp_path: Path) -> None:
    result = run(train, "--recipe", "baseline", "--data", small_set, "--out", tmp_path)
    assert "already exists. Choose another folder" in sentence(result)


def test_train_knows_its_recipes(tmp_path: Path) -> None:
    result = run(train, "--recipe", "magic", "--data", tmp_path, "--out", tmp_path / "out")
    assert "'baseline', 'wbc4', 'wbc8'" in sentence(result)


def test_the_commands_are_listed_without_loading_anything_heavy() -> None:
    program = """
import sys
import hematovision.commands.learn
heavy = {"tensorflow", "keras", "onnxruntime", "numpy", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
