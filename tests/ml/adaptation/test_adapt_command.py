"""hematovision adapt, as a person types it, on a tiny real network."""

from __future__ import annotations

import csv
import io
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hematovision.commands.adapt import adapt
from ml.adaptation.trust import KEPT, UNMEASURED
from ml.bundle import Bundle, write_bundle
from ml.bundle.folder import INT8, ONNX
from ml.data import Labelled, LeakingSplit, Sample, read_folder
from ml.data.loading import load
from ml.decoding import InputShape, Pixels
from ml.evaluation.choosing import require_unseen
from ml.serving import load_classifier
from ml.serving.neighbours import References
from ml.training.recipes.recipe import Recipe
from tests.ml.terminal import sentence


def run(*arguments: str | Path) -> Result:
    """Run the command with these arguments."""
    return CliRunner().invoke(adapt, [str(part) for part in arguments])


@pytest.fixture(scope="module")
def lab(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 real crops of each of four classes in a folder a class, of unknown photographs."""
    folder = tmp_path_factory.mktemp("crops") / "lab"
    for path in sorted(small_set.glob("*/*/*.jpeg")):
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve())
    return folder


@pytest.fixture(scope="module")
def night(bccd4: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 other real crops in one folder, of which nobody says what they are."""
    folder = tmp_path_factory.mktemp("night") / "night"
    folder.mkdir()
    test = [sample for sample in bccd4 if sample.split == "test"]
    for number, sample in enumerate(test[1 :: len(test) // 60][:60]):
        (folder / f"{number:02}.jpeg").symlink_to(sample.path.resolve())
    return folder


@pytest.fixture(scope="module")
def tiny(tiny_run: Path) -> Bundle:
    """A bundle of a very small network, which judges nothing."""
    return Bundle.load(tiny_run / "bundle")


@pytest.fixture(scope="module")
def judging(
    tiny: Bundle, lab: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """The same with cells to compare with, and judging by them; every file is a photograph."""
    from ml.adaptation.finetuning import network_of
    from ml.training.assembly import Taught, fill, judging, outputs

    def silent(stage: str, done: float, note: str) -> None:
        """Show no progress."""

    full = replace(recipe, trust=True, references=5, attribution="Anyone's.")
    samples = [replace(s, group=s.file, source="bccd4") for s in read_folder(lab)]
    labelled = load(samples, full.classes, full.shape, tiny.metadata.preprocessing, silent)
    taught = Taught(network_of(tiny), full, labelled, labelled)
    learned = outputs(taught, labelled.images)
    judged = judging(taught, learned)
    metadata = replace(tiny.metadata, trust=judged.numbers)
    out = tmp_path_factory.mktemp("bundles") / "judging"
    with warnings.catch_warnings():
        # See `uncompiled`.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return write_bundle(
            out, metadata, lambda folder: fill(folder, taught, learned, judged, None)
        )


def without_references(bundle: Bundle, path: Path) -> Bundle:
    """The same bundle as it would ship: no picture of a cell in it."""

    def fill(folder: Path) -> None:
        for name in bundle.metadata.files:
            if name != "references.npz":
                shutil.copyfile(bundle.path / name, folder / name)

    return write_bundle(path, bundle.metadata, fill)


@pytest.mark.usefixtures("uncompiled")
def test_a_bundle_is_adapted_by_the_best_way_that_can_be_gone(
    tiny: Bundle, lab: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    before = {path.name: path.read_bytes() for path in tiny.path.iterdir()}
    result = run("--data", lab, "--bundle", tiny.path, "--out", out, "--most", "32")
    assert result.exit_code == 0, (result.output, result.exception)
    for words in ("BEFORE AND AFTER", "balanced accuracy", "recall of monocyte", "as it is"):
        assert words in result.stdout
    assert "it needs at least 40 crops to learn from" in result.stdout
    assert "It is not known which photograph each crop comes from" in result.stdout
    assert {path.name for path in out.iterdir()} == {"bundle", "held_out.csv", "adaptation.json"}
    assert {path.name: path.read_bytes() for path in tiny.path.iterdir()} == before
    bundle = Bundle.load(out / "bundle")
    assert bundle.title in result.stdout
    assert (bundle.metadata.name, bundle.metadata.version) == ("tiny-adapted", "1.0.0+lab")
    facts = bundle.metadata.data["adapted"]
    assert (facts["parent"], sum(facts["learned"].values())) == (tiny.digest, 32)
    assert facts["how"] in ("recalibrate", "head")
    account = json.loads((out / "adaptation.json").read_text())
    assert account["after"]["digest"] == account["bundle"] == bundle.digest
    assert account["before"]["digest"] == tiny.digest
    held = bundle.metadata.scores["lab_held_out"]
    assert held["scores"] == account["after"]["forced"]["scores"]
    assert held["images"] == account["before"]["images"] == 32


@pytest.mark.usefixtures("uncompiled")
def test_a_head_is_adapted_for_every_backend_alike(tiny: Bundle, lab: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("--data", lab, "--bundle", tiny.path, "--out", out, "--how", "head", "--name", "x")
    assert result.exit_code == 0, (result.output, result.exception)
    bundle = Bundle.load(out / "bundle")
    assert bundle.metadata.name == "x"
    batch = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8)
    answers = [
        load_classifier(bundle, gpus=gpus).classify(batch)
        for gpus in (lambda: (), lambda: ("GPU",))
    ]
    assert np.abs(answers[0].logits - answers[1].logits).max() < 1e-3
    old = load_classifier(tiny, gpus=lambda: ()).classify(batch)
    assert np.abs(answers[0].features - old.features).max() < 1e-5
    assert np.abs(answers[0].logits - old.logits).max() > 1e-3
    samples = read_folder(lab)
    with pytest.raises(LeakingSplit, match="was trained on images of lab"):
        require_unseen(bundle, samples)
    with (out / "held_out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} < {sample.file for sample in samples}
    again = run("--data", lab, "--bundle", bundle.path, "--out", tmp_path / "again")
    assert "trained on, or adapted with" in sentence(again)


@pytest.mark.usefixtures("uncompiled")
def test_what_ran_in_8_bits_does_so_again(tiny: Bundle, lab: Path, tmp_path: Path) -> None:
    from ml.adaptation.finetuning import network_of
    from ml.training.assembly import write_network
    from ml.training.quantization import Fitness, Small, quantize

    def fill(folder: Path) -> None:
        for name in tiny.metadata.files:
            shutil.copyfile(tiny.path / name, folder / name)
        rng = np.random.default_rng(0)
        quantize(folder / ONNX, folder / INT8, rng.integers(0, 255, (16, 32, 32, 3), np.uint8))

    old = write_bundle(tmp_path / "old", tiny.metadata, fill)
    out = tmp_path / "out"
    result = run("--data", lab, "--bundle", old.path, "--out", out, "--how", "recalibrate")
    assert result.exit_code == 0, (result.output, result.exception)
    new = Bundle.load(out / "bundle")
    assert new.metadata.int8["images"] == sum(new.metadata.data["adapted"]["learned"].values())
    assert new.int8 is not None
    assert new.int8.read_bytes() != (old.path / INT8).read_bytes()
    unfit = Small(b"", Fitness(100, 0.8, 0, 20, 1e-6))
    write_network(tmp_path, network_of(tiny), unfit)
    assert not (tmp_path / INT8).exists()


@pytest.mark.usefixtures("uncompiled")
def test_a_network_is_taught_on_with_its_own_cells(
    judging: Bundle, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few and large steps: what is looked at is what becomes of the network, not how good it is.
    monkeypatch.setattr("ml.adaptation.finetuning.PASSES", 1)
    monkeypatch.setattr("ml.adaptation.finetuning.BATCH", 64)
    monkeypatch.setattr("ml.adaptation.adapt.FOLDS", 2)
    out = tmp_path / "out"
    result = run("--data", lab, "--bundle", judging.path, "--out", out, "--how", "network")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "own rehearsed cells," in result.stdout
    bundle = Bundle.load(out / "bundle")
    assert "own cells rehearsed" in bundle.metadata.data["adapted"]["note"]
    assert bundle.metadata.trust["note"] == "Measured on cells of lab."
    old, new = References.load(judging), References.load(bundle)
    assert old is not None and new is not None
    assert (new.pictures, new.labels) == (old.pictures, old.labels)
    classifier = load_classifier(bundle, gpus=lambda: ())
    seen = np.stack([np.array(Image.open(io.BytesIO(data))) for data in new.pictures])
    features = classifier.classify(seen).features
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert np.abs(unit - new.features).max() < 0.01
    assert np.abs(unit - old.features).max() > 0.001


@pytest.mark.usefixtures("uncompiled")
def test_a_bundle_without_reference_cells_rehearses_what_it_was_trained_on(
    judging: Bundle, small_set: Path, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.adaptation.finetuning.PASSES", 1)
    monkeypatch.setattr("ml.adaptation.finetuning.BATCH", 64)
    monkeypatch.setattr("ml.adaptation.adapt.FOLDS", 2)
    bare, out = without_references(judging, tmp_path / "bare"), tmp_path / "out"
    order = ("--data", lab, "--bundle", bare.path, "--out", out, "--how", "network")
    assert "--rehearse" in sentence(run(*order))
    assert "not trained on lab" in sentence(run(*order, "--rehearse", lab))
    result = run(*order, "--rehearse", small_set)
    assert result.exit_code == 0, (result.output, result.exception)
    bundle = Bundle.load(out / "bundle")
    facts = bundle.metadata.data["adapted"]
    assert set(facts["rehearsed"]) == set(bare.metadata.classes)
    assert bundle.metadata.trust["note"] == "Measured on cells of lab."
    assert not (bundle.path / "references.npz").exists()
    refused = run("--data", lab, "--bundle", judging.path, "--out", out, "--rehearse", small_set)
    assert "carries its own cells to rehearse" in sentence(refused)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few and large steps, and a network of no use that may be sure of anything."""
    monkeypatch.setattr("ml.adaptation.finetuning.PASSES", 1)
    monkeypatch.setattr("ml.adaptation.finetuning.BATCH", 64)
    monkeypatch.setattr("ml.adaptation.adapt.FOLDS", 2)
    monkeypatch.setattr("ml.adaptation.selftraining.SURE", 0.0)
    monkeypatch.setattr("ml.adaptation.selftraining.SHARE", 64)
    monkeypatch.setattr("ml.adaptation.selftraining.FEWEST_SURE", 1)
    monkeypatch.setattr("ml.adaptation.selftraining.FEWEST_ALONE", 0)


@pytest.mark.usefixtures("uncompiled", "hasty")
def test_crops_without_labels_alone_are_learned_from_and_nothing_is_claimed(
    judging: Bundle, night: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run("--unlabelled", night, "--bundle", judging.path, "--out", out)
    assert result.exit_code == 0, (result.output, result.exception)
    for words in ("WITHOUT LABELS", "60 crops without labels", "judge both bundles on them"):
        assert words in result.stdout
    for words in ("BEFORE AND AFTER", "WAYS"):
        assert words not in result.stdout
    assert {path.name for path in out.iterdir()} == {"bundle", "adaptation.json"}
    bundle = Bundle.load(out / "bundle")
    assert (bundle.metadata.scores, bundle.metadata.trust["note"]) == ({}, UNMEASURED)
    assert bundle.metadata.data["adapted"]["without_labels"] == 60
    assert (
        bundle.metadata.files["network.weights.h5"] != judging.metadata.files["network.weights.h5"]
    )
    account = json.loads((out / "adaptation.json").read_text())
    assert account["before"] is account["after"] is None
    counted = account["without_labels"]
    for turn in (0, 1):
        assert sum(pair[turn] for pair in counted["classes"].values()) == 60
        assert sum(pair[turn] for pair in counted["outcomes"].values()) == 60
    again = run("--unlabelled", night, "--bundle", bundle.path, "--out", tmp_path / "again")
    assert "trained on, or adapted with" in sentence(again)


@pytest.mark.usefixtures("uncompiled", "hasty")
def test_crops_without_labels_come_along_with_labelled_ones(
    judging: Bundle, lab: Path, night: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    order = ("--data", lab, "--unlabelled", night, "--bundle", judging.path, "--out", out)
    assert "Only --how network or auto can" in sentence(run(*order, "--how", "head"))
    result = run(*order, "--how", "network")
    assert result.exit_code == 0, (result.output, result.exception)
    for words in ("BEFORE AND AFTER", "WITHOUT LABELS", "Measured on cells of lab."):
        assert words in result.stdout
    data = Bundle.load(out / "bundle").metadata.data
    assert "learned as what the network was sure of" in data["adapted"]["note"]
    assert {"lab", "night"} < set(data["sources"])
    held = json.loads((out / "adaptation.json").read_text())["after"]["images"]
    assert held == 64 - sum(data["adapted"]["learned"].values())


@pytest.mark.usefixtures("uncompiled")
def test_a_way_that_can_not_learn_without_labels_does_not_say_it_did(
    tiny: Bundle, lab: Path, night: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    order = ("--data", lab, "--unlabelled", night, "--bundle", tiny.path, "--out", out)
    result = run(*order, "--most", "32")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "They were not learned from: only" in " ".join(result.stdout.split())
    data = Bundle.load(out / "bundle").metadata.data
    assert (data["adapted"]["without_labels"], "night" in data["sources"]) == (0, False)


def test_without_any_crop_there_is_nothing_to_adapt_to(
    judging: Bundle, night: Path, tmp_path: Path
) -> None:
    out = ("--bundle", judging.path, "--out", tmp_path / "out")
    assert "--data, --unlabelled, or both" in run(*out).stderr
    stray = sentence(run(*out, "--unlabelled", night, "--leave-out", "monocyte"))
    assert "--leave-out needs labelled crops. Give them with --data" in stray
    bare = without_references(judging, tmp_path / "bare")
    refused = run("--unlabelled", night, "--bundle", bare.path, "--out", tmp_path / "out")
    assert "can't be adapted without labelled crops: the bundle has no reference cells" in (
        sentence(refused)
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("uncompiled")
def test_few_crops_leave_trust_as_it_was(judging: Bundle, lab: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--how", "recalibrate", "--most", "16"]
    result = run("--data", lab, "--bundle", judging.path, "--out", out, *options)
    assert result.exit_code == 0, (result.output, result.exception)
    bundle = Bundle.load(out / "bundle")
    assert bundle.metadata.trust == {**judging.metadata.trust, "note": KEPT}
    names = ("trust.npz", "references.npz")
    for name in names:
        assert bundle.metadata.files[name] == judging.metadata.files[name]
    too_few = run(
        "--data", lab, "--bundle", judging.path, "--out", tmp_path / "n", "--how", "network",
        "--most", "16",
    )  # fmt: skip
    assert "can't be adapted with --how network: it needs at least 40" in sentence(too_few)


def test_own_cells_come_in_the_size_that_images_are_kept_in(judging: Bundle) -> None:
    from ml.adaptation.finetuning import own_cells
    from ml.training.batches import middle

    def images(shape: InputShape) -> Pixels:
        own: Labelled | None = own_cells(judging, shape)
        assert own is not None
        assert all(sample.label for sample in own.samples)
        return own.images

    small, stored = InputShape(32, 32), InputShape(45, 45)
    assert images(stored).shape[1:] == (45, 45, 3)
    for framed, plain in zip(images(stored), images(small), strict=True):
        assert np.array_equal(middle(framed, small), plain)


def test_nothing_is_written_over(tiny: Bundle, lab: Path, tmp_path: Path) -> None:
    result = run("--data", lab, "--bundle", tiny.path, "--out", tmp_path)
    assert "already exists. Choose another folder" in sentence(result)


def test_what_can_not_be_learned_from_is_said_and_nothing_is_written(
    tiny: Bundle, lab: Path, tmp_path: Path
) -> None:
    empty, strange = tmp_path / "empty", tmp_path / "strange"
    empty.mkdir()
    (strange / "unicorn").mkdir(parents=True)
    (strange / "unicorn" / "1.png").write_bytes(b"?")
    out = ("--bundle", tiny.path, "--out", tmp_path / "out" / "new")
    assert "holds no labelled images" in sentence(run("--data", empty, *out))
    assert "'unicorn' is not a cell type" in sentence(run("--data", strange, *out))
    assert "There is no folder" in sentence(run("--data", tmp_path / "nowhere", *out))
    refused = run("--data", lab, *out, "--leave-out", "platelet")
    assert "no crops of platelet to leave out" in sentence(refused)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("uncompiled")
def test_a_held_out_crop_that_can_not_be_read_leaves_nothing_behind(
    tiny: Bundle, lab: Path, tmp_path: Path
) -> None:
    from ml.adaptation.laboratory import Terms, share_out

    copy = tmp_path / "broken"
    for sample in read_folder(lab):
        target = copy / sample.file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(sample.path.resolve())
    victim = share_out(read_folder(copy), tiny, Terms()).held[0].path
    victim.unlink()
    victim.write_bytes(b"broken")
    out = tmp_path / "out" / "new"
    result = run("--data", copy, "--bundle", tiny.path, "--out", out, "--how", "recalibrate")
    assert victim.name in sentence(result)
    assert not list((tmp_path / "out").iterdir())
