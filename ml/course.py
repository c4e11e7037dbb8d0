"""The progress of a run: the finished passes over everything, and the best of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ml import checkpoints
from ml.selection import Found, Standing

if TYPE_CHECKING:
    from ml.teacher import Teacher

LAST = "last.npz"
BEST = "best/"


@dataclass
class Course:
    """The passes done, the seconds they took, and the standing and weights of the best pass.

    `state` is what a teacher goes on from; a run without a checkpoint has none.
    """

    done: int = 0
    seconds: float = 0.0
    best_pass: int = 0
    best: Standing | None = None
    best_weights: dict[str, NDArray[Any]] = field(default_factory=dict)
    state: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Course:
        """The course that the checkpoint in `folder` records.

        Raises:
            CheckpointUnreadable: if it is damaged.
        """
        arrays, facts = checkpoints.restore(folder / LAST)
        best = {n.removeprefix(BEST): a for n, a in arrays.items() if n.startswith(BEST)}
        state = {n: array for n, array in arrays.items() if not n.startswith(BEST)}
        found = _standing(facts["best"]) if facts["best"] else None
        return cls(facts["done"], facts["seconds"], facts["best_pass"], found, best, state)

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

    def finish(self, found: Standing, seconds: float, teacher: Teacher) -> None:
        """A pass is over, with the weights that the network has now."""
        self.done += 1
        self.seconds += seconds
        if found.beats(self.best):
            self.best, self.best_pass = found, self.done
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
        checkpoints.save(folder / LAST, {**teacher.state(), **best}, facts)

    def settle(self, teacher: Teacher, patience: int) -> None:
        """Give the network the weights that the run ends with."""
        if not patience or not self.best_weights:
            return teacher.settle()
        for variable in teacher.network.weights:
            variable.assign(self.best_weights[variable.path])
        return None


def _standing(facts: dict[str, Any]) -> Standing:
    sources = {
        source: {label: Found(**found) for label, found in classes.items()}
        for source, classes in facts["sources"].items()
    }
    return Standing(**{**facts, "sources": sources})
