"""Teaching a network: its head on features computed once, then everything.

After each pass the run's folder holds all that is needed to go on from there. Needs TensorFlow;
a CPU worker never imports this module.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ml.data import Labelled, Report, Sample
from ml.decoding import Pixels
from ml.errors import MlError
from ml.training.batches import Batch, Batches, Plan, ahead, middle, one_hot
from ml.training.recipes.recipe import Recipe
from ml.training.teacher import (
    Teacher,
    answering,
    falling,
    restore_checkpoint,
    save_checkpoint,
)

# The layer whose output the head sees.
FLAT = "flat"
LAST = "last.npz"
BEST = "best/"
# Images per call where nothing is learned from them.
CHUNK = 64


class TrainingFailed(MlError):
    """Training could not start, or failed; the message says what to do."""


class Interrupted(TrainingFailed):
    """A person stopped a run; it can be resumed."""


@dataclass(frozen=True)
class TrainingRun:
    """The inputs and the folder of one training run; `log` is the log of all runs."""

    recipe: Recipe
    samples: Sequence[Sample]
    out: Path
    weights: Path | None
    seed: int
    report: Report
    resume: bool = False
    log: Path | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of all that a broken run needs to go on."""
        return self.out / "checkpoints"


@dataclass(frozen=True)
class ClassRecall:
    """How many cells of a class from one data folder there were, and the share that was found."""

    recall: float
    support: int


@dataclass(frozen=True)
class ValidationScore:
    """The scores of a network on validation photographs.

    `recall` is the mean of the recalls, `nll` that of the mean negative log-likelihoods (natural
    logarithm), of every class from every data folder, each counting alike; `sources` holds the
    recall of each, by data folder and class.
    """

    recall: float
    nll: float
    accuracy: float
    sources: dict[str, dict[str, ClassRecall]]

    def beats(self, other: ValidationScore | None) -> bool:
        """Whether it found more of each class or, having found as much, was surer of it."""
        return other is None or (self.recall, -self.nll) > (other.recall, -other.nll)


def validation_score(
    probabilities: NDArray[np.float32], data: Labelled, classes: Sequence[str]
) -> ValidationScore:
    """How float32 (N, classes) stand to the truth of `data`; recall and NLL are over what is
    there."""
    hits = probabilities.argmax(axis=1) == data.truth
    right = probabilities[np.arange(len(data.truth)), data.truth].astype(np.float64)
    # A probability that is 0 in float32 may be anything below its smallest number.
    losses = -np.log(np.maximum(right, 1e-38))
    origins = np.array([sample.source for sample in data.samples])
    sources: dict[str, dict[str, ClassRecall]] = {}
    means = []
    for origin in sorted(set(origins)):
        for number, label in enumerate(classes):
            members = (origins == origin) & (data.truth == number)
            if members.any():
                class_recall = ClassRecall(float(hits[members].mean()), int(members.sum()))
                sources.setdefault(str(origin), {})[label] = class_recall
                means.append((class_recall.recall, float(losses[members].mean())))
    recall, nll = np.mean(means, axis=0)
    return ValidationScore(float(recall), float(nll), float(hits.mean()), sources)


@dataclass
class Course:
    """The passes done, the seconds they took, and the score and weights of the best pass.

    `state` is what a teacher goes on from; a run without a checkpoint has none.
    """

    done: int = 0
    seconds: float = 0.0
    best_pass: int = 0
    best: ValidationScore | None = None
    best_weights: dict[str, NDArray[Any]] = field(default_factory=dict)
    state: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Course:
        """The course that the checkpoint in `folder` records.

        Raises:
            CheckpointUnreadable: if it is damaged.
        """
        arrays, facts = restore_checkpoint(folder / LAST)
        best = {n.removeprefix(BEST): a for n, a in arrays.items() if n.startswith(BEST)}
        state = {n: array for n, array in arrays.items() if not n.startswith(BEST)}
        score = _score_of(facts["best"]) if facts["best"] else None
        return cls(facts["done"], facts["seconds"], facts["best_pass"], score, best, state)

    def enter(self, teacher: Teacher, folder: Path) -> None:
        """Let a new teacher go on from here; a new course writes its first checkpoint."""
        if not self.state:
            return self.save(folder, teacher)
        teacher.take(self.state)
        self.state = {}
        return None

    def stuck(self, patience: int) -> bool:
        """Whether the last `patience` passes were no better than one before; 0 is endless."""
        return bool(patience) and self.done - self.best_pass >= patience

    def finish(self, score: ValidationScore, seconds: float, teacher: Teacher) -> None:
        """A pass is over, with the weights that the network has now."""
        self.done += 1
        self.seconds += seconds
        if score.beats(self.best):
            self.best, self.best_pass = score, self.done
            self.best_weights = teacher.weights()

    def save(self, folder: Path, teacher: Teacher) -> None:
        """Write the checkpoint."""
        facts = {
            "done": self.done,
            "seconds": self.seconds,
            "best_pass": self.best_pass,
            "best": asdict(self.best) if self.best else None,
        }
        best = {f"{BEST}{name}": array for name, array in self.best_weights.items()}
        save_checkpoint(folder / LAST, {**teacher.state(), **best}, facts)

    def settle(self, teacher: Teacher, patience: int) -> None:
        """Give the network the weights that the run ends with."""
        if not patience or not self.best_weights:
            return teacher.settle()
        for variable in teacher.network.weights:
            variable.assign(self.best_weights[variable.path])
        return None


def train_head(run: TrainingRun, network: keras.Model, learn: Labelled, check: Labelled) -> None:
    """Train the head alone; the base does not change, so its features are computed only once."""
    recipe = run.recipe
    flat = network.get_layer(FLAT).output
    base, head = keras.Model(network.input, flat), keras.Model(flat, network.output)
    learned = features(run, base, learn.images, "features")
    checked = features(run, base, check.images, "validation features")
    plan = Plan(learn.samples, recipe, run.seed)
    steps = -(-plan.size // recipe.batch)
    rate = falling(recipe.head_rate, steps * recipe.head_passes)
    teacher = Teacher(head, rate, smoothing=recipe.smoothing)
    clock = _Clock(run, "head", recipe.head_passes, steps)
    for number in range(1, recipe.head_passes + 1):
        clock.begin(number)
        batches = _rows(learned, learn, recipe, plan.draws(number))
        loss = _pass(run, teacher, batches, clock)
        clock.note(loss, _judged(teacher, checked, check, recipe))


def train_everything(
    run: TrainingRun, network: keras.Model, learn: Labelled, check: Labelled, course: Course
) -> None:
    """Fine-tune every weight, from where `course` stands; the statistics of the batch norms stay
    as they are.

    The network ends with the averaged weights, if an average is kept, of the last pass or, with
    a patience, of the best one.
    """
    recipe = run.recipe
    batches = Batches(learn, recipe, run.seed)
    steps = -(-batches.plan.size // recipe.batch)
    whole = steps * recipe.passes
    rate = falling(recipe.rate, whole, whole // 20, recipe.rest)
    teacher = Teacher(network, rate, smoothing=recipe.smoothing, momentum=recipe.average)
    course.enter(teacher, run.checkpoints)
    clock = _Clock(run, "everything", recipe.passes, steps)
    while course.done < recipe.passes and not course.stuck(recipe.patience):
        clock.begin(course.done + 1)
        loss = _pass(run, teacher, batches.of_pass(clock.number), clock)
        with teacher.averaged():
            score = _judged(teacher, check.images, check, recipe)
            course.finish(score, time.monotonic() - clock.started, teacher)
        course.save(run.checkpoints, teacher)
        clock.note(loss, score)
    course.settle(teacher, recipe.patience)


def features(
    run: TrainingRun, base: keras.Model, images: Pixels, stage: str
) -> NDArray[np.float16]:
    """float16 (N, …): what the base makes of each image; computed once a run, kept on disk."""
    path = run.checkpoints / f"{stage.replace(' ', '-')}.npy"
    if not path.exists():
        aside = path.with_name(f".{path.name}")
        shape = (len(images), *base.output_shape[1:])
        rows = np.lib.format.open_memmap(aside, "w+", np.float16, shape)
        compute = answering(base)
        for start, chunk in _chunks(images, run.recipe):
            rows[start : start + len(chunk)] = compute(chunk)
            run.report(stage, (start + len(chunk)) / len(images), f"{len(images)} images")
        rows.flush()
        aside.replace(path)
    stored: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return stored


def _judged(
    teacher: Teacher, images: NDArray[Any], check: Labelled, recipe: Recipe
) -> ValidationScore:
    answers = [teacher.answer(chunk) for _, chunk in _chunks(images, recipe)]
    return validation_score(np.concatenate(answers), check, recipe.classes)


def _chunks(images: NDArray[Any], recipe: Recipe) -> Iterable[tuple[int, NDArray[Any]]]:
    """(where it starts, images or features) of each chunk; images in the size of the input."""
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        if chunk.ndim == 4:
            chunk = np.stack([middle(image, recipe.shape) for image in chunk])
        yield start, chunk


def _rows(
    stored: NDArray[np.float16], learn: Labelled, recipe: Recipe, drawn: NDArray[np.int64]
) -> Iterable[Batch]:
    """Batches of features, float32 (n, …), read from disk a few ahead."""

    def batch(start: int) -> Batch:
        indices = drawn[start : start + recipe.batch]
        labels = one_hot(learn.truth[indices], len(recipe.classes))
        return stored[indices].astype(np.float32), labels

    return ahead(batch, range(0, len(drawn), recipe.batch), threads=2)


def _pass(run: TrainingRun, teacher: Teacher, batches: Iterable[Batch], clock: _Clock) -> float:
    """Learn from one pass's batches; returns the mean loss.

    Raises:
        TrainingFailed: if the loss is no number any more.
    """
    teacher.begin(run.seed, clock.number)
    losses: list[float] = []
    for batch in batches:
        losses.append(teacher.learn(batch))
        if not np.isfinite(losses[-1]):
            rate = "rate" if clock.stage == "everything" else "head_rate"
            raise TrainingFailed(
                f"The loss is no longer a number (stage {clock.stage}, pass {clock.number}, "
                f"step {len(losses)}). Lower the recipe's {rate} and start a new run."
            )
        clock.tick(len(losses))
    return float(np.mean(losses))


class _Clock:
    """Shows how far a stage is, and logs each of its passes."""

    def __init__(self, run: TrainingRun, stage: str, passes: int, steps: int) -> None:
        self.run, self.stage, self.passes, self.steps = run, stage, passes, steps
        self.number, self.started, self.words = 0, 0.0, ""

    def begin(self, number: int) -> None:
        """Pass `number` begins."""
        self.number, self.started = number, time.monotonic()

    def tick(self, step: int) -> None:
        """Show that `step` steps of this pass are done, beside how the last one went."""
        share = (self.number - 1 + step / self.steps) / self.passes
        self.run.report(self.stage, share, self.words)

    def note(self, loss: float, score: ValidationScore) -> None:
        """The pass is over: show its scores and the time left, and log them."""
        seconds = time.monotonic() - self.started
        left = seconds * (self.passes - self.number) / 60
        scores = f"loss {loss:.3f}, recall {score.recall:.4f}, NLL {score.nll:.3f}"
        self.words = f"pass {self.number} of {self.passes}: {scores}, {left:.0f} min left"
        self.run.report(self.stage, self.number / self.passes, self.words)
        entry = {"stage": self.stage, "pass": self.number, "seconds": round(seconds, 1)}
        with (self.run.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({**entry, "loss": loss, **asdict(score)}) + "\n")


def _score_of(facts: dict[str, Any]) -> ValidationScore:
    sources = {
        source: {label: ClassRecall(**fields) for label, fields in classes.items()}
        for source, classes in facts["sources"].items()
    }
    return ValidationScore(**{**facts, "sources": sources})
