"""Folders of labelled images → samples with their source photographs, and splits that keep them.

Three layouts are read:

* with `source_map.csv` (split, label, file, source_image): images in SPLIT/LABEL/file, each an
  augmented copy of its source photograph, which is its group;
* with `manifest.csv` (file, class, and optionally split and group): without a group column each
  file is taken as a photograph of its own;
* neither: a folder a class; where the photographs are unknown, the groups are None.
"""

from __future__ import annotations

import csv
import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.bundle import file_digest
from ml.cells import UnknownCell, cell_type
from ml.errors import MlError
from ml.images import SUFFIXES


class DataError(MlError):
    """A data folder that can't be used as asked; the message says what to do."""


class LeakingSplit(DataError):
    """A split with copies of one photograph on both sides, or whose photographs are unknown."""


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    `file` is its path inside the data folder, `source` that folder's name, `group` the
    photograph it was made from (None where unknown), `split` what the set's authors say.
    """

    path: Path
    file: str
    label: str
    source: str
    split: str
    group: str | None


def read_folder(folder: Path) -> list[Sample]:
    """Every labelled image of `folder`, sorted by file.

    Raises:
        DataError: if the folder is missing, holds no image, or names an unknown cell type.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    try:
        samples = _read(folder)
    except KeyError as error:
        raise DataError(f"The table of labels in {folder} has no column {error}.") from error
    except (UnknownCell, UnicodeDecodeError) as error:
        raise DataError(f"The labels of {folder} can't be read: {error}") from error
    if not samples:
        raise DataError(f"{folder} holds no labelled images; expected a folder for each class.")
    return sorted(samples, key=lambda sample: sample.file)


def of_classes(samples: Iterable[Sample], classes: Sequence[str]) -> list[Sample]:
    """Those samples whose cell is one of `classes`.

    Raises:
        DataError: if a class has no sample at all.
    """
    chosen = [sample for sample in samples if sample.label in classes]
    missing = sorted(set(classes) - {sample.label for sample in chosen})
    if missing:
        raise DataError(f"There are no images of {', '.join(missing)}.")
    return chosen


def grouped_split(
    samples: Sequence[Sample], share: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Hold out about `share` of each class's photographs, at least one of each.

    A photograph with cells of several classes counts for its most frequent one and stays whole.

    Returns:
        The samples kept and the samples held out.

    Raises:
        LeakingSplit: if a photograph is unknown.
        DataError: if a class has only one photograph.
    """
    held_out: set[str] = set()
    for label, groups in sorted(_groups_by_label(samples).items()):
        if len(groups) < 2:
            raise DataError(f"All images of {label} are of one photograph: none can be held out.")
        chosen = random.Random(f"{seed}/{label}").sample(groups, max(1, round(share * len(groups))))
        held_out.update(chosen)
    kept = [sample for sample in samples if group_of(sample) not in held_out]
    held = [sample for sample in samples if group_of(sample) in held_out]
    return kept, held


def random_split(
    samples: Sequence[Sample], share: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Hold out `share` of the images of each class, whatever photograph they are of: it leaks."""
    by_label = defaultdict(list)
    for sample in samples:
        by_label[sample.label].append(sample)
    held: set[Path] = set()
    for label, members in sorted(by_label.items()):
        chosen = random.Random(f"{seed}/{label}").sample(members, round(share * len(members)))
        held.update(sample.path for sample in chosen)
    kept = [sample for sample in samples if sample.path not in held]
    return kept, [sample for sample in samples if sample.path in held]


def require_grouped(training: Iterable[Sample], judged: Iterable[Sample]) -> None:
    """Make sure that no photograph stands on both sides.

    Raises:
        LeakingSplit: if one does, or if it is unknown what photograph an image is of.
    """
    shared = {group_of(sample) for sample in training} & {group_of(sample) for sample in judged}
    if shared:
        example = sorted(shared)[0]
        message = f"{len(shared)} photographs stand on both sides of the split, such as {example}."
        raise LeakingSplit(message)


def group_of(sample: Sample) -> str:
    """The photograph a sample is of, named apart from those of other data folders.

    Raises:
        LeakingSplit: if it is unknown.
    """
    if sample.group is None:
        raise LeakingSplit(
            f"It is unknown which photograph {sample.file} is of, so copies of one photograph may "
            "stand on both sides of the split. Give the folder a source_map.csv or manifest.csv."
        )
    return f"{sample.source}/{sample.group}"


def spread(samples: Sequence[Sample], per_class: int, seed: int) -> list[Sample]:
    """At most `per_class` samples of each class, as evenly over its photographs as can be."""
    queues: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        queues[sample.label][group_of(sample)].append(sample)
    chosen: list[Sample] = []
    for label, groups in sorted(queues.items()):
        rng = random.Random(f"{seed}/{label}")
        for members in groups.values():
            rng.shuffle(members)
        order = rng.sample(sorted(groups), len(groups))
        ranked = [
            (rank, place, sample)
            for place, group in enumerate(order)
            for rank, sample in enumerate(groups[group])
        ]
        ranked.sort(key=lambda entry: entry[:2])
        chosen += [sample for _, _, sample in ranked[:per_class]]
    return chosen


def data_hash(samples: Iterable[Sample]) -> str:
    """SHA-256, in hexadecimal, over every sample's place, label, split, group and content."""
    digest = hashlib.sha256()
    for sample in sorted(samples, key=lambda sample: (sample.source, sample.file)):
        entry = (sample.source, sample.file, sample.label, sample.split, str(sample.group))
        digest.update("\0".join((*entry, file_digest(sample.path))).encode() + b"\n")
    return digest.hexdigest()


def counts(samples: Iterable[Sample]) -> dict[str, int]:
    """How many samples each class has."""
    return dict(sorted(Counter(sample.label for sample in samples).items()))


def _read(folder: Path) -> list[Sample]:
    if (folder / "source_map.csv").is_file():
        return _from_source_map(folder)
    if (folder / "manifest.csv").is_file():
        return _from_manifest(folder)
    return _from_class_folders(folder)


def _from_source_map(folder: Path) -> list[Sample]:
    rows = _rows(folder / "source_map.csv")
    return [
        _sample(
            folder,
            f"{row['split']}/{row['label']}/{row['file']}",
            row["label"],
            split=row["split"].lower(),
            group=row["source_image"],
        )
        for row in rows
    ]


def _from_manifest(folder: Path) -> list[Sample]:
    rows = _rows(folder / "manifest.csv")
    return [
        _sample(
            folder,
            row["file"],
            row["class"],
            split=row.get("split", ""),
            group=row.get("group", row["file"]),
        )
        for row in rows
    ]


def _from_class_folders(folder: Path) -> list[Sample]:
    files = [path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES]
    return [
        _sample(folder, path.relative_to(folder).as_posix(), path.parent.name, split="", group=None)
        for path in files
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _sample(folder: Path, file: str, label: str, *, split: str, group: str | None) -> Sample:
    name = cell_type(label).name
    return Sample(folder / file, file, name, folder.resolve().name, split, group)


def _groups_by_label(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The photographs of each class, sorted."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        labels[group_of(sample)][sample.label] += 1
    by_label: dict[str, list[str]] = defaultdict(list)
    for group, seen in sorted(labels.items()):
        by_label[min(seen, key=lambda label: (-seen[label], label))].append(group)
    return by_label
