"""Teaching a network: its head on features computed once, then everything.

After each pass the run's folder holds all that is needed to go on from there. Needs TensorFlow;
a CPU worker never imports this module.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ml.batches import Batch, Batches, ahead, middle, one_hot
from ml.course import Course
from ml.dataset import Sample
from ml.errors import MlError
from ml.images import Pixels
from ml.loading import Labelled, Report
from ml.recipes.recipe import Recipe
from ml.sampling import Plan
from ml.selection import Standing, standing
from ml.teacher import Answer, Teacher, answering, falling

# The layer whose output the head sees.
FLAT = "flat"
# Images a call where nothing is learned from them.
CHUNK = 64


class TrainingFailed(MlError):
    """Training could not start, or failed; the message says what to do."""


class Interrupted(TrainingFailed):
    """A person stopped a run; it can be resumed."""


@dataclass(frozen=True)
class Run:
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


def train_head(run: Run, network: keras.Model, learn: Labelled, check: Labelled) -> None:
    """Train the head alone; the base does not change, so its features are computed only once."""
    recipe = run.recipe
    flat = network.get_layer(FLAT).output
    base, head = keras.Model(network.input, flat), keras.Model(flat, network.output)
    known = features(run, base, learn.images, "features")
    unknown = features(run, base, check.images, "validation features")
    plan = Plan(learn.samples, recipe, run.seed)
    steps = -(-plan.size // recipe.batch)
    rate = falling(recipe.head_rate, steps * recipe.head_passes)
    teacher = Teacher(head, rate, smoothing=recipe.smoothing)
    clock = _Clock(run, "head", recipe.head_passes, steps)
    for number in range(1, recipe.head_passes + 1):
        clock.begin(number)
        batches = _rows(known, learn, recipe, plan.draws(number))
        loss = _pass(run, teacher, batches, clock)
        clock.note(loss, _judged(teacher, unknown, check, recipe))


def train_everything(
    run: Run, network: keras.Model, learn: Labelled, check: Labelled, course: Course
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
            found = _judged(teacher, check.images, check, recipe)
            course.finish(found, time.monotonic() - clock.started, teacher)
        course.save(run.checkpoints, teacher)
        clock.note(loss, found)
    course.settle(teacher, recipe.patience)


def features(run: Run, base: keras.Model, images: Pixels, stage: str) -> NDArray[np.float16]:
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
    kept: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return kept


def _answers(answer: Answer, images: NDArray[Any], recipe: Recipe) -> NDArray[np.float32]:
    return np.concatenate([answer(chunk) for _, chunk in _chunks(images, recipe)])


def _judged(teacher: Teacher, images: NDArray[Any], check: Labelled, recipe: Recipe) -> Standing:
    return standing(_answers(teacher.answer, images, recipe), check, recipe.classes)


def _chunks(images: NDArray[Any], recipe: Recipe) -> Iterable[tuple[int, NDArray[Any]]]:
    """(where it starts, images or features) of each chunk; images in the size of the input."""
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        if chunk.ndim == 4:
            chunk = np.stack([middle(image, recipe.shape) for image in chunk])
        yield start, chunk


def _rows(
    known: NDArray[np.float16], learn: Labelled, recipe: Recipe, drawn: NDArray[np.int64]
) -> Iterable[Batch]:
    """Batches of features, float32 (n, …), read from disk a few ahead."""

    def batch(start: int) -> Batch:
        places = drawn[start : start + recipe.batch]
        labels = one_hot(learn.truth[places], len(recipe.classes))
        return known[places].astype(np.float32), labels

    return ahead(batch, range(0, len(drawn), recipe.batch), threads=2)


def _pass(run: Run, teacher: Teacher, batches: Iterable[Batch], clock: _Clock) -> float:
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

    def __init__(self, run: Run, stage: str, passes: int, steps: int) -> None:
        self.run, self.stage, self.passes, self.steps = run, stage, passes, steps
        self.number, self.started, self.words = 0, 0.0, ""

    def begin(self, number: int) -> None:
        """Pass `number` begins."""
        self.number, self.started = number, time.monotonic()

    def tick(self, step: int) -> None:
        """Show that `step` steps of this pass are done, beside how the last one went."""
        share = (self.number - 1 + step / self.steps) / self.passes
        self.run.report(self.stage, share, self.words)

    def note(self, loss: float, found: Standing) -> None:
        """The pass is over: show its scores and the time left, and log them."""
        seconds = time.monotonic() - self.started
        left = seconds * (self.passes - self.number) / 60
        scores = f"loss {loss:.3f}, recall {found.recall:.4f}, NLL {found.nll:.3f}"
        self.words = f"pass {self.number} of {self.passes}: {scores}, {left:.0f} min left"
        self.run.report(self.stage, self.number / self.passes, self.words)
        entry = {"stage": self.stage, "pass": self.number, "seconds": round(seconds, 1)}
        with (self.run.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({**entry, "loss": loss, **asdict(found)}) + "\n")
