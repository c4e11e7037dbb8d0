"""Judgements written by hand, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from ml.bundle import Architecture, Bundle, Metadata
from ml.data import Sample
from ml.decoding import InputShape
from ml.evaluation.judging import Judged
from ml.reading import Preprocessing

THREE = ("basophil", "eosinophil", "neutrophil")


def accepted(label: str, confidence: float = 0.9, classes: Sequence[str] = THREE) -> Verdict:
    """An accepted prediction; the other classes share what is left."""
    rest = (1 - confidence) / (len(classes) - 1)
    probabilities = tuple(confidence if name == label else rest for name in classes)
    return Verdict(label, confidence, Outcome.ACCEPTED, probabilities, (label,))


def unsure(label: str, *others: str) -> Verdict:
    """A prediction that could be one of several classes."""
    verdict = replace(accepted(label, 0.5), candidates=(label, *others), reason="between_classes")
    return replace(verdict, outcome=Outcome.UNCERTAIN)


def strange(label: str, familiarity: float, reason: str = "unlike_training") -> Verdict:
    """A prediction of an image that looks like no known cell."""
    verdict = replace(accepted(label, 0.4), outcome=Outcome.UNFAMILIAR, reason=reason)
    return replace(verdict, familiarity=familiarity)


def judged(*pairs: tuple[str, Verdict], photographs: Sequence[str | None] = ()) -> Judged:
    """Labels with what was said; each image is of a photograph of its own if none are given."""
    groups = photographs or [str(number) for number in range(len(pairs))]
    samples = tuple(
        Sample(Path(f"{number}.png"), f"{number}.png", label, "set", "test", group)
        for number, ((label, _), group) in enumerate(zip(pairs, groups, strict=True))
    )
    return Judged(THREE, samples, tuple(verdict for _, verdict in pairs))


def a_bundle(path: Path, name: str = "three", classes: tuple[str, ...] = THREE) -> Bundle:
    """A bundle by its facts alone."""
    metadata = Metadata(
        name=name,
        version="1.0.0",
        classes=classes,
        shape=InputShape(8, 8),
        architecture=Architecture(),
        preprocessing=Preprocessing(),
        data={"few_shot": ["basophil"]},
    )
    return Bundle(path, metadata, "ab12" * 16)
