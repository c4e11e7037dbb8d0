"""hematovision evaluate, as a person types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hematovision.commands.evaluate import evaluate
from ml.bundle import Bundle
from tests.ml.terminal import sentence


def run(*arguments: str | Path) -> Result:
    """Run the command with these arguments."""
    return CliRunner().invoke(evaluate, [str(part) for part in arguments])


@pytest.fixture(scope="module")
def everyday(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder of two plain pictures and of a broken one."""
    folder = tmp_path_factory.mktemp("strange") / "pictures"
    (folder / "plain").mkdir(parents=True)
    for colour in ("green", "black"):
        Image.new("RGB", (64, 64), colour).save(folder / "plain" / f"{colour}.png")
    (folder / "plain" / "broken.png").write_bytes(b"broken")
    return folder


def test_the_shipped_split_is_scored(small_set: Path, tmp_path: Path) -> None:
    result = run("--data", small_set, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "shipped split: 16 images" in result.stdout
    assert "by resampling 4 photographs" in result.stdout
    files = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert set(files) == {
        "evaluation.html",
        "evaluation.json",
        "evaluation.txt",
        "predictions.csv",
    }
    assert (tmp_path / "out" / "evaluation.txt").read_text() == result.stdout


def test_a_random_split_is_shouted_to_leak(small_set: Path, tmp_path: Path) -> None:
    result = run("--data", small_set, "--out", tmp_path, "--split", "random")
    assert "THIS SPLIT LEAKS" in result.stdout
    assert "THIS SPLIT LEAKS" in result.stderr


def test_json_is_printed_for_programs(small_set: Path, tmp_path: Path, shipped: Bundle) -> None:
    result = run("--data", small_set, "--out", tmp_path, "--json")
    document = json.loads(result.stdout)
    assert document["digest"] == shipped.digest
    assert document["images"] == 16
    assert (tmp_path / "evaluation.json").read_text() == result.stdout


def test_bundles_are_compared_and_strangers_counted(
    small_set: Path, everyday: Path, tmp_path: Path, shipped: Bundle
) -> None:
    options: list[str | Path] = ["--against", shipped.path, "--unfamiliar", everyday]
    result = run("--data", small_set, "--out", tmp_path, "--json", *options)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["comparison"]["agreement"] == 1
    assert document["comparison"]["p"] == 1
    strangers = document["unfamiliar"][0]
    assert (strangers["name"], strangers["images"]) == ("pictures/plain", 3)
    assert strangers["unreadable"] == 1


def test_a_set_whose_photographs_are_unknown_is_refused(data: Path, tmp_path: Path) -> None:
    result = run("--data", data / "bccd4" / "TEST", "--out", tmp_path / "out")
    assert "--split whole" in sentence(result)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("--data", tmp_path / "empty", "--out", tmp_path / "out")
    assert "holds no labelled images" in sentence(result)


def test_a_folder_of_strangers_without_images_is_refused_before_the_work(
    small_set: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    result = run("--data", small_set, "--unfamiliar", tmp_path / "empty", "--out", tmp_path / "out")
    assert "There are no images in" in sentence(result)
    assert not (tmp_path / "out").exists()


def test_a_split_or_part_that_is_not_known_is_refused(small_set: Path, tmp_path: Path) -> None:
    assert "'shipped', 'random', 'whole'" in sentence(
        run("--data", small_set, "--out", tmp_path, "--split", "other")
    )
    result = run("--data", small_set, "--out", tmp_path, "--subset", "test_simple")
    assert "no part 'test_simple'; its parts are test" in sentence(result)


def test_photographs_are_taken_from_a_table_where_the_folder_does_not_say(
    small_set: Path, tmp_path: Path
) -> None:
    elsewhere, groups = tmp_path / "elsewhere", tmp_path / "groups.csv"
    elsewhere.symlink_to(small_set / "TEST")
    result = run("--data", elsewhere, "--split", "whole", "--out", tmp_path / "out")
    assert "hematovision data FOLDER --find-groups" in " ".join(result.stdout.split())
    names = sorted(path.relative_to(small_set / "TEST") for path in small_set.glob("TEST/*/*"))
    rows = [f"TEST,{name.as_posix()},{name.parent}" for name in names]
    groups.write_text("\n".join(["source,file,group", *rows]) + "\n")
    options: list[str | Path] = ["--split", "whole", "--out", tmp_path / "out"]
    result = run("--data", elsewhere, "--groups", groups, *options)
    assert "by resampling 4 photographs" in result.stdout


def test_a_class_can_be_told_apart(small_set: Path, tiny_run: Path, tmp_path: Path) -> None:
    result = run("--data", small_set, "--out", tmp_path, "--apart", "monocyte")
    assert "without monocyte" in result.stdout
    assert "Reported separately" in result.stdout
    four = tiny_run / "bundle"
    result = run("--data", small_set, "--bundle", four, "--out", tmp_path, "--apart", "platelet")
    assert "The bundle has no class platelet. Its classes are eosinophil" in sentence(result)


def test_a_bundle_of_another_format_or_a_changed_one_is_refused(
    small_set: Path, tmp_path: Path, shipped: Bundle
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(shipped.path, bundle)
    options: list[str | Path] = ["--data", small_set, "--out", tmp_path / "out"]
    (bundle / "model.onnx").write_bytes(b"other")
    result = run(*options, "--bundle", bundle)
    assert "model.onnx differs from the file that was written" in sentence(result)
    (bundle / "bundle.json").write_text('{"format": 99}')
    result = run(*options, "--against", bundle)
    assert "a bundle of format 99" in sentence(result)
    assert not (tmp_path / "out").exists()
