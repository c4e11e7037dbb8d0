"""Labelled images → a bundle's answer for each, read and classified as in serving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from ml.data import DataError, Report, Sample
from ml.data.dataset import group_of
from ml.metrics import confusion_matrix, photograph_matrices
from ml.serving import Classifier, ImageFile, Row, classify_files

BATCH = 32


@dataclass(frozen=True)
class Judged:
    """Samples and the verdicts on them, in the same order; `classes` are the bundle's."""

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    verdicts: tuple[Verdict, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def truth(self) -> NDArray[np.int64]:
        """int64 (N,): the class number of each label."""
        return self._numbers([sample.label for sample in self.samples])

    @property
    def predicted(self) -> NDArray[np.int64]:
        """int64 (N,): the class number of each best guess, whatever its outcome."""
        return self._numbers([verdict.label for verdict in self.verdicts])

    @property
    def right(self) -> NDArray[np.bool_]:
        """bool (N,): whether the best guess is the label."""
        same: NDArray[np.bool_] = self.truth == self.predicted
        return same

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """float64 (N, classes)."""
        rows = [verdict.probabilities for verdict in self.verdicts]
        return np.array(rows, np.float64).reshape(len(rows), len(self.classes))

    @property
    def sources(self) -> tuple[str, ...]:
        """The data folders' names, sorted."""
        return tuple(sorted({sample.source for sample in self.samples}))

    @property
    def grouped(self) -> bool:
        """Whether it is known of every image which photograph it is of."""
        return all(sample.group is not None for sample in self.samples)

    def with_outcome(self, outcome: Outcome) -> Judged:
        """Those images alone that had this outcome."""
        return self.where([verdict.outcome == outcome for verdict in self.verdicts])

    def where(self, keep: Sequence[bool] | NDArray[np.bool_]) -> Judged:
        """Those images alone for which `keep`, (N,), is true."""
        rows = np.flatnonzero(np.asarray(keep, bool))
        samples = tuple(self.samples[row] for row in rows)
        return Judged(self.classes, samples, tuple(self.verdicts[row] for row in rows))

    def units(self) -> NDArray[np.int64]:
        """int64 (N,): the number of the photograph that each image is of.

        Raises:
            LeakingSplit: if one is unknown.
        """
        names = [group_of(sample) for sample in self.samples]
        return np.unique(names, return_inverse=True)[1].astype(np.int64)

    def matrices(self) -> NDArray[np.int64]:
        """int64 (photographs, classes, classes): the confusion matrix of each photograph."""
        return photograph_matrices(self.units(), self.truth, self.predicted, len(self.classes))

    def matrix(self) -> NDArray[np.int64]:
        """int64 (classes, classes): rows are the true classes, columns the best guesses."""
        return confusion_matrix(self.truth, self.predicted, len(self.classes))

    def _numbers(self, labels: Sequence[str]) -> NDArray[np.int64]:
        numbers = {name: number for number, name in enumerate(self.classes)}
        return np.array([numbers[label] for label in labels], np.int64)


def judge(classifier: Classifier, samples: Sequence[Sample], report: Report) -> Judged:
    """The bundle's answer for every sample; few images are in memory at a time.

    Raises:
        DataError: if an image can't be read; it names the file.
    """
    verdicts = []
    rows = _classified(classifier, [sample.path for sample in samples], report)
    for sample, row in zip(samples, rows, strict=True):
        if row.verdict is None:
            message = f"{sample.path} can't be used: {row.reason} Repair or remove it."
            raise DataError(message)
        verdicts.append(row.verdict)
    return Judged(classifier.bundle.metadata.classes, tuple(samples), tuple(verdicts))


def classify_unlabelled(classifier: Classifier, paths: Sequence[Path], report: Report) -> list[Row]:
    """The bundle's answers for images without labels, one row per file."""
    return list(_classified(classifier, paths, report))


def _classified(classifier: Classifier, paths: Sequence[Path], report: Report) -> list[Row]:
    rows = []
    files = [ImageFile(path.name, path) for path in paths]
    for row in classify_files(classifier, files, BATCH):
        rows.append(row)
        report("classifying", len(rows) / len(files), f"{len(rows):,} of {len(files):,}")
    return rows
