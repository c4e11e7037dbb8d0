"""The gate that bundles carry against two others: which tells strangers from cells best?

    python -m benchmarks.gates ../shared/data/pbc8 ../shared/data/unfamiliar/everyday

All are fitted on the cells of every second photograph of FOLDER, and asked about the cells of the
other ones and about STRANGERS. The figure is the AUROC: how often a stranger lies farther away than
a cell. What the network gives for an image is computed once for all gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.bare import pixels_of
from ml.answers import Outputs
from ml.bundle import Bundle, default_bundle_path
from ml.data import read_folder
from ml.data.dataset import group_of, spread
from ml.metrics import auroc
from ml.serving import Classifier, find_images, load_classifier
from ml.serving.looking import outputs_of
from ml.trust.unfamiliar import Classes, Floats, Nearest, main_axes, unit_rows

AXES = 64
BATCH = 64


class Fitted(Protocol):
    """A gate that is ready to measure."""

    def distance(self, outputs: Outputs) -> Floats:
        """float32 (N,): larger is stranger."""


@dataclass(frozen=True)
class Mahalanobis:
    """The distance to the nearest class mean, in units of how cells of a class vary.

    One covariance for all classes (Lee, Lee, Lee and Shin, NeurIPS 2018), of full variance along
    its main axes and of one common variance across (Moghaddam and Pentland, PAMI 1997).

    `means` (M, F), `axes` (K, F) and `variances` (K + 1,), the last one that of each direction
    across the axes; all are float32.
    """

    means: Floats
    axes: Floats
    variances: Floats

    @classmethod
    def fit(cls, outputs: Outputs, truth: Classes) -> Mahalanobis:
        """Means and covariance of training cells: their outputs and classes (N,)."""
        unit = unit_rows(outputs.features)
        numbers, places = np.unique(truth, return_inverse=True)
        means = np.stack([unit[truth == number].mean(axis=0) for number in numbers])
        # Some directions must be left to tell how cells vary across the axes.
        values, axes = main_axes(unit - means[places], min(AXES, unit.shape[1] // 2))
        variances = np.append(values[: len(axes)], values[len(axes) :].mean())
        floor = max(float(values[0]) * 1e-6, 1e-12)
        return cls(means, axes, np.maximum(variances, floor).astype(np.float32))

    def distance(self, outputs: Outputs) -> Floats:
        """float32 (N,): standard deviations."""
        away = unit_rows(outputs.features)[:, np.newaxis] - self.means
        along = away @ self.axes.T
        across = np.maximum((away**2).sum(axis=2) - (along**2).sum(axis=2), 0)
        squared = (along**2 / self.variances[:-1]).sum(axis=2) + across / self.variances[-1]
        return np.asarray(np.sqrt(squared.min(axis=1)), dtype=np.float32)


@dataclass(frozen=True)
class Energy:
    """-log Σ exp(logit): how little evidence there is for any class (Liu et al., NeurIPS 2020)."""

    kind: ClassVar[str] = "energy"

    def distance(self, outputs: Outputs) -> Floats:
        """float32 (N,): any real number."""
        return np.asarray(-np.logaddexp.reduce(outputs.logits, axis=1), dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """None: it is fitted to nothing."""
        return {}


def outputs_for(classifier: Classifier, paths: Sequence[Path]) -> Outputs:
    """What the network gives for each file."""
    parts = [
        outputs_of(classifier, pixels_of(paths[start:][:BATCH], classifier.bundle))
        for start in range(0, len(paths), BATCH)
    ]
    logits = np.concatenate([part.logits for part in parts])
    return Outputs(logits, np.concatenate([part.features for part in parts]))


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("strangers", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--per-class", type=int, default=500, show_default=True, help="Cells of each class.")
def main(folder: Path, strangers: Path, per_class: int) -> None:
    """Fit each gate, and say how well it tells the two apart."""
    classifier = load_classifier(Bundle.load(default_bundle_path()), device="cpu")
    classes = classifier.bundle.metadata.classes
    labelled = [sample for sample in read_folder(folder) if sample.label in classes]
    samples = spread(labelled, per_class, seed=0)
    photographs = sorted({group_of(sample) for sample in samples})
    apart = set(photographs[1::2])
    learn = [sample for sample in samples if group_of(sample) not in apart]
    asked = [sample for sample in samples if group_of(sample) in apart]
    learned = outputs_for(classifier, [sample.path for sample in learn])
    truth = np.array([classes.index(sample.label) for sample in learn], np.int64)
    cells = outputs_for(classifier, [sample.path for sample in asked])
    images = [image.path for image in find_images([strangers])]
    strange = outputs_for(classifier, images)
    gates: dict[str, Fitted] = {
        "nearest": Nearest.fit(learned, truth, [group_of(sample) for sample in learn]),
        "mahalanobis": Mahalanobis.fit(learned, truth),
        "energy": Energy(),
    }
    click.echo(f"{len(learn)} cells fitted, {len(asked)} cells and {len(images)} strangers asked")
    for name, gate in gates.items():
        far, near = (gate.distance(part).astype(np.float64) for part in (strange, cells))
        click.echo(f"{name:<12} AUROC {auroc(far, near):.4f}")


if __name__ == "__main__":
    main()
