"""A laboratory's own crops: which of them to learn from, and which to hold out.

The bundle learns from few, class-balanced crops; all other photographs are held out. If it is not
known which photograph an image comes from, each file counts as its own photograph. Files with the
same content are taken once, so that at least no exact copy is on both sides.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ml.bundle import Bundle
from ml.bundle.folder import file_digest
from ml.data import DataError, LeakingSplit, Sample
from ml.data.dataset import group_of, grouped_split, spread, teachable
from ml.serving import find_images
from ml.serving.neighbours import REFERENCES

FEWEST = 4
# Cells of each class that a bundle without reference cells rehearses, at most.
REHEARSED = 24
FEWEST_WITHOUT_LABELS = 50


@dataclass(frozen=True)
class Terms:
    """How crops are shared out: classes to leave out, at least what share of the photographs is
    held out, and at most how many crops are learned from."""

    leave_out: tuple[str, ...] = ()
    held_out: float = 0.3
    most: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Crops:
    """Labelled crops of one laboratory: those to learn from, and those held out to judge by.

    `left_out` counts the crops of each class that was left out, `copies` the files left out as
    exact copies; `grouped` is whether the photographs were given, for all of them.
    """

    source: str
    learn: tuple[Sample, ...]
    held: tuple[Sample, ...]
    left_out: Mapping[str, int]
    copies: int
    grouped: bool

    @classmethod
    def none(cls, source: str) -> Crops:
        """No labelled crops at all."""
        return cls(source, (), (), {}, 0, grouped=False)

    @property
    def labelled(self) -> tuple[Sample, ...]:
        """All of them."""
        return (*self.learn, *self.held)


def share_out(samples: Sequence[Sample], bundle: Bundle, terms: Terms) -> Crops:
    """Crops to learn from and to judge by, from all `samples` of one folder; those that it marks
    as test are only judged by.

    Raises:
        DataError: if a class is unknown to the bundle, there is one class alone, or too few crops.
        LeakingSplit: if the bundle has seen images of a folder of this name.
    """
    source = samples[0].source
    _require_new(source, bundle)
    _require_names(terms.leave_out, samples)
    wanted = [sample for sample in samples if sample.label not in terms.leave_out]
    _require_known(wanted, bundle)
    unique = _without_copies(wanted)
    grouped = all(sample.group is not None for sample in unique)
    named = [replace(s, group=s.file) if s.group is None else s for s in unique]
    learn = _drawn(named, terms)
    learned = {group_of(sample) for sample in learn}
    return Crops(
        source=source,
        learn=tuple(learn),
        held=tuple(sample for sample in named if group_of(sample) not in learned),
        left_out=dict(Counter(s.label for s in samples if s.label in terms.leave_out)),
        copies=len(wanted) - len(unique),
        grouped=grouped,
    )


def without_labels(folder: Path, bundle: Bundle, crops: Crops | None) -> tuple[Sample, ...]:
    """The images in a folder, however deep, of which nobody needs to have said what they are; what
    their folders are called is not looked at. Exact copies of others, and of labelled crops, are
    left out, so that nothing is learned from what is held out.

    Raises:
        DataError: if there are too few to learn from.
        FileNotFoundError: if there is no such folder.
        LeakingSplit: if the bundle has seen images of a folder of this name.
    """
    source = folder.resolve().name
    _require_new(source, bundle)
    images = find_images([folder])
    candidates = [Sample(image.path, image.name, "", source, "", image.name) for image in images]
    labelled = {_content(sample) for sample in crops.labelled} if crops else set()
    unique = tuple(s for s in _without_copies(candidates) if _content(s) not in labelled)
    if len(unique) < FEWEST_WITHOUT_LABELS:
        message = f"There are {len(unique)} crops in {folder} beside the labelled ones; learning "
        raise DataError(f"{message}without labels needs {FEWEST_WITHOUT_LABELS}. Add more crops.")
    return unique


def rehearsal(samples: Sequence[Sample], bundle: Bundle, seed: int) -> tuple[Sample, ...]:
    """Some of the cells that a bundle without reference cells was trained on, of each class.

    Raises:
        DataError: if the bundle carries reference cells, or was not trained on one of the folders.
    """
    if (bundle.path / REFERENCES).is_file():
        raise DataError("The bundle carries its own cells to rehearse. Leave out --rehearse.")
    trained = bundle.metadata.data.get("sources", ())
    for source in sorted({sample.source for sample in samples} - set(trained)):
        message = f"The bundle was not trained on {source}, so it can't rehearse it; "
        raise DataError(message + f"it was trained on {', '.join(trained)}.")
    usable = [
        replace(s, group=s.file) if s.group is None else s
        for s in teachable(samples)
        if s.label in bundle.metadata.classes
    ]
    return tuple(spread(usable, REHEARSED, seed))


def folds(samples: Sequence[Sample], count: int, seed: int) -> list[int]:
    """The number of each sample's fold, 0 to `count` - 1, or less where a class has fewer
    photographs; no photograph is in two, and every class is in all."""
    by_label = _photographs(samples)
    count = min(count, *(len(groups) for groups in by_label.values()))
    fold_of: dict[str, int] = {}
    for _, groups in sorted(by_label.items()):
        # Shuffled by the same means as `grouped_split`; the first fold is not always the fullest.
        order = spread([groups[name][0] for name in sorted(groups)], len(groups), seed)
        start = len(fold_of)
        fold_of |= {group_of(sample): (start + turn) % count for turn, sample in enumerate(order)}
    return [fold_of[group_of(sample)] for sample in samples]


def write_held_out(samples: Sequence[Sample], path: Path) -> None:
    """The crops that nothing was learned from, as a table: file, class, group."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "group"])
        writer.writerows([sample.file, sample.label, sample.group] for sample in samples)


def _drawn(samples: Sequence[Sample], terms: Terms) -> list[Sample]:
    """At most so many crops, as evenly over the classes as there are."""
    usable = teachable(samples)
    judged_by = {group_of(sample) for sample in set(samples) - set(usable)}
    labels = {sample.label for sample in samples}
    if terms.most < FEWEST * len(labels):
        message = f"{len(labels)} classes need at least {FEWEST * len(labels)} crops to learn from"
        raise DataError(f"{message}; {terms.most} are too few. Raise --most.")
    candidates = [
        sample
        for sample in grouped_split(usable, terms.held_out, terms.seed)[0]
        if group_of(sample) not in judged_by
    ]
    _require_enough(candidates, labels)
    counts = Counter(sample.label for sample in candidates).values()
    per_class = max(
        n for n in range(1, terms.most + 1) if sum(min(count, n) for count in counts) <= terms.most
    )
    return spread(candidates, per_class, terms.seed)


def _without_copies(samples: Sequence[Sample]) -> list[Sample]:
    """The first of all files with the same content.

    Raises:
        DataError: if the same content has two labels.
    """
    first: dict[str, Sample] = {}
    for sample in samples:
        earlier = first.setdefault(_content(sample), sample)
        if earlier.label != sample.label:
            raise DataError(
                f"{earlier.file} and {sample.file} are the same image, once labelled "
                f"{earlier.label} and once {sample.label}. Keep only the right one."
            )
    return list(first.values())


def _content(sample: Sample) -> str:
    try:
        return file_digest(sample.path)
    except OSError as error:
        raise DataError(f"{sample.path} can't be read: {error}.") from error


def _photographs(samples: Sequence[Sample]) -> dict[str, dict[str, list[Sample]]]:
    """The samples by class and photograph; a photograph of several classes is of its first one."""
    owner: dict[str, str] = {}
    by_label: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        label = owner.setdefault(group_of(sample), sample.label)
        by_label[label][group_of(sample)].append(sample)
    return by_label


def _require_new(source: str, bundle: Bundle) -> None:
    if source in bundle.metadata.data.get("sources", ()):
        raise LeakingSplit(
            f"The bundle {bundle.title} was trained on, or adapted with, images of a folder named "
            f"{source}, so it can't be judged on them. Adapt the bundle that it was made from, or "
            "give new images in a folder with another name."
        )


def _require_names(leave_out: Sequence[str], samples: Sequence[Sample]) -> None:
    strange = sorted(set(leave_out) - {sample.label for sample in samples})
    if strange:
        labels = ", ".join(sorted({sample.label for sample in samples}))
        raise DataError(
            f"There are no crops of {', '.join(strange)} to leave out, only of {labels}."
        )


def _require_known(samples: Sequence[Sample], bundle: Bundle) -> None:
    """At least two classes, all of them the bundle's."""
    labels, classes = {sample.label for sample in samples}, bundle.metadata.classes
    strange = sorted(labels - set(classes))
    if strange:
        options = " ".join(f"--leave-out {name}" for name in strange)
        raise DataError(
            f"The bundle does not know {', '.join(strange)}; it knows {', '.join(classes)}. "
            f"Adapting adds no new class. Leave these crops out with {options}."
        )
    if len(labels) < 2:
        raise DataError(
            f"All crops are of one class, {', '.join(labels) or 'none'}, so nothing can be learned "
            f"from them. Give crops of at least two classes, {FEWEST} or more of each."
        )


def _require_enough(samples: Sequence[Sample], labels: set[str]) -> None:
    """Refuse crops of which a class has too few, or of one photograph, beside those held out."""
    photographs = _photographs(samples)
    for label in sorted(labels):
        crops, groups = sum(s.label == label for s in samples), len(photographs.get(label, {}))
        if crops < FEWEST or groups < 2:
            raise DataError(
                f"Besides those held out, there are {crops} crops of {label} from {groups} "
                f"photographs to learn from; at least {FEWEST} from 2 are needed. Add some, hold "
                f"out fewer, or leave the class out with --leave-out {label}."
            )
