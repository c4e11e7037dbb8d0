"""Chooses the labelled images on which a bundle may be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ml.bundle import Bundle
from ml.data import DataError, LeakingSplit, Sample
from ml.data.dataset import of_classes, random_protocol, require_grouped, teachable

TRAINING = ("train", "val")


@dataclass(frozen=True)
class Choice:
    """The samples to judge by, and what of the set is not judged.

    `split` is the name of the split or of the part; `left_out` counts the images of classes that
    the bundle does not know; `lacking` are classes of the bundle that the set has no image of.
    """

    samples: tuple[Sample, ...]
    split: str
    left_out: Mapping[str, int]
    lacking: tuple[str, ...]


def choose(samples: Sequence[Sample], bundle: Bundle, split: str) -> Choice:
    """The samples to judge by.

    Args:
        samples: all of the data folders.
        bundle: whose classes count; cells of other classes are left out.
        split: shipped (what each set's authors held out as test), random (a share of the
            training images, which leaks), whole (all images, for a set that was never trained
            on), or the name of a part that the set's authors made, such as test_simple.

    Raises:
        LeakingSplit: if the part is not there, cuts a photograph, or can't be checked; if a set to
            be judged whole is one that the bundle was trained on.
        DataError: if fewer than two classes remain.
    """
    classes = bundle.metadata.classes
    candidates = _candidates(samples, bundle, split)
    counted = Counter(sample.label for sample in candidates)
    _require_two({name for name in counted if name in classes}, counted, bundle)
    present = [name for name in classes if name in counted]
    chosen = of_classes(candidates, present)
    if split == "random":
        chosen = _at_random(chosen, present, bundle)
    return Choice(
        samples=tuple(chosen),
        split=split,
        left_out={name: count for name, count in sorted(counted.items()) if name not in classes},
        lacking=tuple(name for name in classes if name not in counted),
    )


def require_known(names: Sequence[str], bundle: Bundle) -> tuple[str, ...]:
    """The classes that go by these names.

    Raises:
        DataError: if the bundle does not know one of them.
    """
    for name in names:
        if name not in bundle.metadata.classes:
            classes = ", ".join(bundle.metadata.classes)
            raise DataError(f"The bundle has no class {name}. Its classes are {classes}.")
    return tuple(dict.fromkeys(names))


def require_unseen(bundle: Bundle, samples: Sequence[Sample]) -> None:
    """Make sure that the bundle was trained on none of the samples' data folders.

    Raises:
        LeakingSplit: if it was.
    """
    seen = {sample.source for sample in samples} & set(bundle.metadata.data.get("sources", ()))
    if seen:
        message = f"The bundle {bundle.title} was trained on images of {', '.join(sorted(seen))}: "
        raise LeakingSplit(message + "judging it on the whole set leaks. Use --split shipped.")


def _candidates(samples: Sequence[Sample], bundle: Bundle, split: str) -> Sequence[Sample]:
    """The samples of the split, whatever their class."""
    if split == "random":
        return teachable(samples)
    if split == "whole":
        require_unseen(bundle, samples)
        return samples
    held_out = []
    for source in sorted({sample.source for sample in samples}):
        held_out += _held_out([sample for sample in samples if sample.source == source], split)
    return held_out


def _at_random(samples: Sequence[Sample], classes: Sequence[str], bundle: Bundle) -> list[Sample]:
    """A share of the images; of a bundle that was trained by the random protocol, just those that
    it did not learn from."""
    seed = int(bundle.metadata.data.get("split", {}).get("seed", 0))
    held_out = random_protocol(samples, classes, seed)[1]
    # Their photographs are cut, so that nothing may take them for independent units.
    return [replace(sample, group=None) for sample in held_out]


def _held_out(samples: Sequence[Sample], split: str) -> list[Sample]:
    """The part of one data folder, which must share no photograph with its training part."""
    source, name = samples[0].source, "test" if split == "shipped" else split.lower()
    held_out = [sample for sample in samples if sample.split == name]
    if not held_out:
        raise _no_such_part(samples, source, name)
    if name in TRAINING:
        raise LeakingSplit(f"The part {name!r} of {source} is for training. Choose another part.")
    require_grouped([sample for sample in samples if sample.split in TRAINING], held_out)
    return held_out


def _no_such_part(samples: Sequence[Sample], source: str, name: str) -> LeakingSplit:
    names = sorted({sample.split for sample in samples if sample.split} - set(TRAINING))
    if name != "test" or names:
        parts = f"its parts are {', '.join(names)}" if names else "it has no part to judge on"
        return LeakingSplit(f"The data folder {source} has no part {name!r}; {parts}.")
    return LeakingSplit(
        f"The data folder {source} does not say which images are its test split. For a set that "
        "was never trained on, use --split whole. --split random judges on a leaking split."
    )


def _require_two(present: set[str], counted: Mapping[str, int], bundle: Bundle) -> None:
    if len(present) > 1:
        return
    classes = ", ".join(bundle.metadata.classes)
    if present:
        message = f"All images to judge are of one class, {present.pop()}; at least two are needed"
        raise DataError(f"{message}, of: {classes}.")
    message = f"The bundle knows no class of the set ({', '.join(sorted(counted))}). It knows "
    raise DataError(f"{message}{classes}. Use another set or another bundle.")
