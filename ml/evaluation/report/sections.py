"""An evaluation → sections of words, tables and pictures, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lexicon.outcomes import reason
from ml.data.dataset import HOW_TO_FIND
from ml.evaluation.comparison import Comparison
from ml.evaluation.evaluate import Evaluation, Part
from ml.evaluation.outcomes import Outcomes, TurnedAway
from ml.evaluation.report.parts import (
    AVERAGES,
    DASH,
    Chart,
    Matrix,
    Section,
    Table,
    chance,
    name_of,
    number,
    percent,
    share,
)
from ml.metrics import ClassScore
from ml.trust.conformal import ClassCoverage

FEW = 20
NO_INTERVAL = f"No intervals: the photographs of these images are not known. {HOW_TO_FIND}"
RELIABILITY = Chart(
    "reliability",
    "Reliability. On the dashed line, confidence equals the share right; below it the bundle is "
    "overconfident. The area of a dot is the number of images.",
)
RISK_COVERAGE = Chart(
    "risk_coverage",
    "Risk and coverage. The share wrong if only the most confident images are accepted.",
)


def sections(found: Evaluation) -> list[Section]:
    """Return all sections of an evaluation, the most important first."""
    made = [_averages(found), _classes(found), _confusion(found)]
    made += [outcome_section(found), workload_section(found), confidence_section(found)]
    made += _sources(found)
    made += [unfamiliar_section(found.unfamiliar)] if found.unfamiliar else []
    made += [comparison_section(found.comparison)] if found.comparison else []
    return [*made, _limits(found)]


def title(found: Evaluation) -> str:
    """Return which bundle was judged on which images, in one line."""
    special = {"random": "random split, LEAKING", "whole": "the whole set"}
    kind = special.get(found.split, f"{found.split} split")
    return f"{found.model} on {', '.join(found.sources)}, {kind}"


def _averages(found: Evaluation) -> Section:
    shown: list[tuple[str, Part | None]] = [("all images", found.forced)]
    shown += [("accepted only", found.accepted)] if found.accepted else []
    shown += [(_without(found), found.large)] if found.large else []
    rows = [(label, f"{part.images:,}", *_three(part)) for label, part in shown if part]
    table = Table(("best guess of", "images", *AVERAGES.values()), tuple(rows))
    words = NO_INTERVAL
    if found.leaking:
        words = "No intervals: a random split leaks, so its images are not independent."
    elif found.forced.intervals:
        units = found.forced.intervals["accuracy"].units
        words = (
            f"In brackets: the 95 % interval, by resampling {units:,} photographs. A score without "
            "brackets had too few errors for an interval: it is the same on every resample."
        )
    return Section("Scores", (table, words))


def _classes(found: Evaluation) -> Section:
    scores = [entry for entry in found.forced.scores.classes if entry.support]
    kinds = {entry.label: _kind(entry.label, found) for entry in scores}
    parts: list[str | Table] = []
    for kind in ("Large classes", "Reported separately", "Classes with few training images"):
        entries = [entry for entry in scores if kinds[entry.label] == kind]
        caption = kind if len(set(kinds.values())) > 1 else ""
        parts += [_class_table(entries, found.forced, caption)] if entries else []
    if any(entry.support < FEW for entry in scores):
        parts.append(f"* judged on fewer than {FEW} images: the scores mean little.")
    return Section("Classes", tuple(parts))


def _kind(label: str, found: Evaluation) -> str:
    if label in found.few_shot:
        return "Classes with few training images"
    return "Reported separately" if label in found.apart else "Large classes"


def _without(found: Evaluation) -> str:
    if not found.apart:
        return "large classes"
    return "without " + ", ".join(name_of(name) for name in (*found.apart, *found.few_shot))


def _class_table(entries: Sequence[ClassScore], part: Part, caption: str) -> Table:
    rows = []
    for entry in entries:
        found = part.class_intervals.get(entry.label, {})
        numbers = [
            number(getattr(entry, name), found.get(name)) for name in ("precision", "recall", "f1")
        ]
        mark = "*" if entry.support < FEW else ""
        rows.append((name_of(entry.label) + mark, *numbers, f"{entry.support:,}"))
    return Table(("class", "precision", "recall", "F1", "images"), tuple(rows), caption)


def _confusion(found: Evaluation) -> Section:
    labels = tuple(entry.label for entry in found.forced.scores.classes)
    words = "Rows are the true classes, columns the best guesses."
    return Section("Confusion matrix", (words, Matrix(labels, found.forced.scores.matrix)))


def _sources(found: Evaluation) -> Iterator[Section]:
    if not found.by_source:
        return
    rows = [(name, f"{part.images:,}", *_three(part)) for name, part in found.by_source.items()]
    table = Table(("source", "images", *AVERAGES.values()), tuple(rows))
    became = outcome_table(found.outcomes_by_source)
    yield Section("Sources", (table, Table(("source", *became.head[1:]), became.rows)))


def _limits(found: Evaluation) -> Section:
    parts = []
    if found.left_out:
        counted = ", ".join(f"{name_of(name)} {count:,}" for name, count in found.left_out.items())
        parts.append(f"Left out, because the bundle does not know these classes: {counted}.")
    if found.lacking:
        names = ", ".join(name_of(name) for name in found.lacking)
        parts.append(f"Not judged, because the set has no images of these classes: {names}.")
    facts = (
        ("images judged", f"{found.images:,}"),
        ("data folders", ", ".join(found.sources)),
        ("data, SHA-256", found.data),
        ("bundle, digest", found.digest),
    )
    return Section("What was judged", (*parts, Table(("", ""), facts)))


def _three(part: Part) -> tuple[str, ...]:
    return tuple(number(getattr(part.scores, key), part.intervals.get(key)) for key in AVERAGES)


def outcome_section(found: Evaluation) -> Section:
    """Return how many images were accepted, and why the others were not."""
    words = (
        "Accepted images are reported as a class. Uncertain ones go to review with their "
        "candidates, the classes that can't be ruled out. Unfamiliar ones are turned away. "
        "Coverage is the share of images whose candidates include the true class, size the number "
        "of candidates."
    )
    parts: list[str | Table] = [words, outcome_table(found.outcomes)]
    reasons = found.outcomes[0].reasons
    if reasons:
        parts.append(f"Not accepted: {_reasons(reasons)}.")
    if found.promised is not None:
        parts += [
            f"The bundle promises sets that include the true class for "
            f"{percent(found.promised, 1)} of each class's images. A set may be empty; the "
            "candidates above then fill in.",
            _promise_table(found.promise),
        ]
    return Section("Outcomes", tuple(parts))


def outcome_table(entries: Sequence[Outcomes]) -> Table:
    """Return the outcomes of the images of each class or source."""
    head = ("class", "images", "accepted", "uncertain", "unfamiliar", "wrong of accepted")
    rows = [
        (
            name_of(entry.name),
            f"{entry.images:,}",
            percent(entry.accepted, entry.images),
            percent(entry.uncertain, entry.images),
            percent(entry.unfamiliar, entry.images),
            percent(entry.wrong, entry.accepted),
            percent(entry.coverage, 1),
            f"{entry.size:.2f}",
        )
        for entry in entries
    ]
    return Table((*head, "coverage", "size"), tuple(rows))


def _promise_table(entries: Sequence[ClassCoverage]) -> Table:
    """Return how often the promised sets include the true class."""
    rows = [
        (name_of(one.label), f"{one.images:,}", percent(one.coverage, 1), f"{one.size:.2f}")
        for one in entries
    ]
    return Table(("class", "images", "coverage kept", "size of the set"), tuple(rows))


def workload_section(found: Evaluation) -> Section:
    """Return the bundle's own rule, then the same rule with a minimum confidence."""
    rules = [one for one in found.workload if one.rule != "confidence" and one.threshold != 0]
    rows = [
        (
            "as the bundle decides" if one.threshold is None else f"and at least {one.threshold:g}",
            share(one.sent, one.sent_interval),
            f"{one.accepted:,}",
            DASH if one.error is None else share(one.error, one.error_interval),
        )
        for one in rules
    ]
    words = (
        "How many images need review, and how many of the accepted ones are wrong, if a minimum "
        "confidence is required in addition to the bundle's own decision."
    )
    head = ("rule", "to review", "accepted", "wrong of accepted")
    return Section("Workload against error", (words, Table(head, tuple(rows))))


def confidence_section(found: Evaluation) -> Section:
    """Return how well stated confidences match the share that is right."""
    stated = found.confidence
    words = (
        f"Expected calibration error {stated.error:.4f} over {len(stated.bins)} bins of equal "
        f"width, {stated.error_by_mass:.4f} over bins of equally many images. Area under the "
        f"risk-coverage curve {stated.area:.4f}."
    )
    rows = [
        (
            f"{one.low:.2f} to {one.high:.2f}",
            f"{one.images:,}",
            percent(one.confidence, 1),
            percent(one.accuracy, 1),
        )
        for one in stated.bins
        if one.images
    ]
    table = Table(("confidence", "images", "stated", "right"), tuple(rows))
    return Section("Confidence", (words, RELIABILITY, RISK_COVERAGE, table))


def unfamiliar_section(entries: Sequence[TurnedAway]) -> Section:
    """Return how many of the images that should be turned away were."""
    head = ("folder", "images", "turned away", "uncertain", "accepted", "unreadable", "AUROC")
    rows = [
        (
            entry.name,
            f"{entry.images:,}",
            percent(entry.caught, entry.images),
            percent(entry.uncertain, entry.images),
            percent(entry.accepted, entry.images),
            percent(entry.unreadable, entry.images),
            DASH if entry.auroc is None else f"{entry.auroc:.4f}",
        )
        for entry in entries
    ]
    reasons = [f"{entry.name}: {_reasons(entry.reasons)}." for entry in entries if entry.reasons]
    words = (
        "Images that show no cell of a known class should be turned away. AUROC is how often a "
        "judged cell is more familiar than one of these; an image without exactly one cell "
        "counts as least familiar."
    )
    return Section("Unfamiliar images", (words, Table(head, tuple(rows)), *reasons))


def comparison_section(found: Comparison) -> Section:
    """Return this bundle compared with another one on the same images."""
    rows = [
        ("accuracy of this bundle", f"{found.accuracy:.3f}"),
        ("accuracy of the other", f"{found.other_accuracy:.3f}"),
        ("difference", _signed(found)),
        ("same class", percent(found.agreement, 1)),
        ("only this one right", f"{found.only_this:,}"),
        ("only the other right", f"{found.only_other:,}"),
        ("p, McNemar's exact test", chance(found.p)),
    ]
    words = [f"The other bundle is {found.other}, on the same {found.images:,} images."]
    if found.left_out:
        known = ", ".join(name_of(name) for name in found.left_out)
        words.append(f"Left out, because only one bundle knows these classes: {known}.")
    if found.p_photographs is None:
        words.append("The test treats every image as independent; their photographs are not known.")
    else:
        rows.append(("p, photographs as units", chance(found.p_photographs)))
        words.append(
            "McNemar's test treats every image as independent, but copies of one photograph are "
            "not. If photographs have several images, rely on the last line and the interval."
        )
    return Section("Against another bundle", (words[0], Table(("", ""), tuple(rows)), *words[1:]))


def _signed(found: Comparison) -> str:
    if found.interval is None:
        return f"{found.difference:+.3f}"
    return f"{found.difference:+.3f} [{found.interval.low:+.3f} to {found.interval.high:+.3f}]"


def _reasons(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{reason(name).words} {count:,}" for name, count in counted.items())
