"""Folders of labelled images → samples with their source photographs, and splits that keep them.

`data.layouts` says how a folder may be laid out. Where it says nothing of the photographs, find
them with `hematovision data FOLDER --find-groups --out OUT` and give OUT/groups.csv as the groups.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lexicon.cells import CELL_TYPES, known_cell_type
from ml.bundle.folder import file_digest
from ml.data.layouts import Entry, entries, groups_in
from ml.errors import MlError


class DataError(MlError):
    """A data folder can't be used as requested; the message says what to do."""


# How to find out which photograph each image comes from, if nothing says so.
HOW_TO_FIND = (
    "Find the photographs with: hematovision data FOLDER --find-groups --out OUT, "
    "then give --groups OUT/groups.csv."
)

# The published figures were made with 30 of 100 images held out: about 745 of each class.
RANDOM_SHARE = 0.3


class LeakingSplit(DataError):
    """A split with copies of one photograph on both sides, or whose photographs are unknown."""


@dataclass(frozen=True)
class Sample:
    """One image, usually a labelled one.

    `file` is its path inside the data folder, `label` its cell type (empty where nobody has said
    it), `source` that folder's name, `group` the photograph it was made from (None where unknown),
    `split` what the set's authors say.
    """

    path: Path
    file: str
    label: str
    source: str
    split: str
    group: str | None


def read_folder(folder: Path, groups: Path | None = None) -> list[Sample]:
    """Every labelled image of `folder`, sorted by file.

    Args:
        folder: the data folder; its name is the samples' source.
        groups: a table of groups, as `hematovision data --find-groups` writes it. If it speaks of
            this folder, it must name all its images, and what the folder says itself is ignored.

    Raises:
        DataError: if the folder or the table is missing, can't be read, holds no image, names a
            file twice, or names an unknown cell type.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    source = folder.resolve().name
    try:
        listing = entries(folder)
    except (KeyError, UnicodeDecodeError) as error:
        raise _bad_table(f"The table of labels in {folder}", error) from error
    if not listing:
        raise DataError(f"{folder} holds no labelled images. It needs one folder per class.")
    _require_once(folder, listing)
    labels = _labels(folder, listing)
    groups_of_files = _groups(groups, source, listing) if groups else {}
    samples = [
        Sample(
            folder / entry.file,
            entry.file,
            labels[entry.label],
            source,
            entry.split,
            groups_of_files.get(entry.file, entry.group),
        )
        for entry in listing
    ]
    return sorted(samples, key=lambda sample: sample.file)


def of_classes(samples: Iterable[Sample], classes: Sequence[str]) -> list[Sample]:
    """Those samples whose cell is one of `classes`.

    Raises:
        DataError: if a class has no sample at all.
    """
    chosen = [sample for sample in samples if sample.label in classes]
    missing = sorted(set(classes) - {sample.label for sample in chosen})
    if missing:
        raise DataError(f"There are no images of {', '.join(missing)}. Add some.")
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
            raise DataError(
                f"All images of {label} come from one photograph, so none can be held out. Add "
                f"images of {label} from other photographs, or leave the class out."
            )
        chosen = random.Random(f"{seed}/{label}").sample(groups, max(1, round(share * len(groups))))
        held_out.update(chosen)
    remaining = [sample for sample in samples if group_of(sample) not in held_out]
    held = [sample for sample in samples if group_of(sample) in held_out]
    return remaining, held


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
    remaining = [sample for sample in samples if sample.path not in held]
    return remaining, [sample for sample in samples if sample.path in held]


def random_protocol(
    samples: Sequence[Sample], classes: Sequence[str], seed: int
) -> tuple[list[Sample], list[Sample]]:
    """The images kept and those held out at random; images marked as test are in neither.

    The same samples, classes and seed give the same images: so a bundle that was trained by this
    protocol can be judged later by the very images that it did not learn from.
    """
    return random_split(of_classes(teachable(samples), classes), RANDOM_SHARE, seed)


def require_grouped(training: Iterable[Sample], judged: Iterable[Sample]) -> None:
    """Make sure that no photograph is on both sides.

    Raises:
        LeakingSplit: if one does, or if it is unknown what photograph an image is of.
    """
    shared = {group_of(sample) for sample in training} & {group_of(sample) for sample in judged}
    if shared:
        example = sorted(shared)[0]
        raise LeakingSplit(
            f"{len(shared)} photographs are on both sides of the split, such as {example}. "
            "Split by whole photographs, or remove their images from one side."
        )


def group_of(sample: Sample) -> str:
    """The photograph a sample comes from, named so that it differs from other data folders'.

    Raises:
        LeakingSplit: if it is unknown.
    """
    if sample.group is None:
        raise LeakingSplit(
            f"It is not known which photograph {sample.file} comes from, so copies of it may be on "
            "both sides of the split. Add a source_map.csv or manifest.csv to the folder. "
            f"{HOW_TO_FIND}"
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
            (rank, index, sample)
            for index, group in enumerate(order)
            for rank, sample in enumerate(groups[group])
        ]
        ranked.sort(key=lambda entry: entry[:2])
        chosen += [sample for _, _, sample in ranked[:per_class]]
    return chosen


def teachable(samples: Iterable[Sample]) -> list[Sample]:
    """Those that the set's authors did not keep to judge by."""
    return [sample for sample in samples if sample.split in ("", "train", "val")]


def data_hash(samples: Iterable[Sample]) -> str:
    """SHA-256 in hexadecimal over every sample's source, file, label, split, group and content."""
    digest = hashlib.sha256()
    for sample in sorted(samples, key=lambda sample: (sample.source, sample.file)):
        entry = (sample.source, sample.file, sample.label, sample.split, str(sample.group))
        digest.update("\0".join((*entry, file_digest(sample.path))).encode() + b"\n")
    return digest.hexdigest()


def counts(samples: Iterable[Sample]) -> dict[str, int]:
    """How many samples each class has."""
    return dict(sorted(Counter(sample.label for sample in samples).items()))


def _labels(folder: Path, listing: Iterable[Entry]) -> dict[str, str]:
    """The cell type that each label of a folder names."""
    names, strange = {}, []
    for label in sorted({entry.label for entry in listing}):
        if cell := known_cell_type(label):
            names[label] = cell.name
        else:
            strange.append(repr(label))
    if strange:
        verb = "is not a cell type" if len(strange) == 1 else "are not cell types"
        cell_names = ", ".join(sorted(cell.name for cell in CELL_TYPES))
        raise DataError(
            f"The labels of {folder} can't be used: {', '.join(strange)} {verb}. "
            f"The cell types are {cell_names}."
        )
    return names


def _groups(table: Path, source: str, listing: Sequence[Entry]) -> dict[str, str]:
    """The group of each file; empty if the table is of other folders."""
    if not table.is_file():
        raise DataError(f"There is no table of groups {table}. {HOW_TO_FIND}")
    try:
        groups = groups_in(table, source)
    except (KeyError, UnicodeDecodeError) as error:
        raise _bad_table(f"The table of groups {table}", error) from error
    missing = [entry.file for entry in listing if entry.file not in groups]
    if groups and missing:
        raise DataError(
            f"{table} lacks {len(missing)} of the {len(listing)} images of {source}, "
            f"such as {missing[0]}. {HOW_TO_FIND}"
        )
    return groups


def _require_once(folder: Path, listing: Iterable[Entry]) -> None:
    twice = sorted(file for file, n in Counter(entry.file for entry in listing).items() if n > 1)
    if twice:
        raise DataError(
            f"The table of labels in {folder} names {len(twice)} files twice, such as {twice[0]}. "
            "Keep one row per image."
        )


def _bad_table(what: str, error: KeyError | UnicodeDecodeError) -> DataError:
    if isinstance(error, KeyError):
        return DataError(f"{what} has no column {error}.")
    return DataError(f"{what} is not UTF-8 text. Save it as UTF-8 ({error}).")


def _groups_by_label(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The photographs of each class, sorted."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        labels[group_of(sample)][sample.label] += 1
    by_label: dict[str, list[str]] = defaultdict(list)
    for group, seen in sorted(labels.items()):
        by_label[min(seen, key=lambda label: (-seen[label], label))].append(group)
    return by_label
