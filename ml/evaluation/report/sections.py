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
CHARTS = (
    Chart(
        "reliability",
        "Reliability. On the dashed line, confidence equals the share right; below it the bundle "
        "is overconfident. The area of a dot is the number of images.",
    ),
    Chart(
        "risk_coverage",
        "Risk and coverage. The share wrong if only the most confident images are accepted.",
    ),
)


def sections(evaluation: Evaluation) -> list[Section]:
    """Return all sections of an evaluation, the most important first."""
    made = [_averages(evaluation), _classes(evaluation), _confusion(evaluation)]
    made += [
        outcome_section(evaluation),
        workload_section(evaluation),
        confidence_section(evaluation),
    ]
    made += _sources(evaluation)
    made += [unfamiliar_section(evaluation.unfamiliar)] if evaluation.unfamiliar else []
    made += [comparison_section(evaluation.comparison)] if evaluation.comparison else []
    return [*made, _limits(evaluation)]


def title(evaluation: Evaluation) -> str:
    """Return which bundle was judged on which images, in one line."""
    special = {"random": "random split, LEAKING", "whole": "the whole set"}
    kind = special.get(evaluation.split, f"{evaluation.split} split")
    return f"{evaluation.model} on {', '.join(evaluation.sources)}, {kind}"


def _averages(evaluation: Evaluation) -> Section:
    shown: list[tuple[str, Part | None]] = [("all images", evaluation.forced)]
    shown += [("accepted only", evaluation.accepted)] if evaluation.accepted else []
    shown += [(_without(evaluation), evaluation.large)] if evaluation.large else []
    rows = [(label, f"{part.images:,}", *_three(part)) for label, part in shown if part]
    table = Table(("best guess of", "images", *AVERAGES.values()), tuple(rows))
    words = NO_INTERVAL
    if evaluation.leaking:
        words = "No intervals: a random split leaks, so its images are not independent."
    elif evaluation.forced.intervals:
        units = evaluation.forced.intervals["accuracy"].units
        words = (
            f"In brackets: the 95 % interval, by resampling {units:,} photographs. A score without "
            "brackets had too few errors for an interval: it is the same on every resample."
        )
    return Section("Scores", (table, words))


def _classes(evaluation: Evaluation) -> Section:
    scores = [entry for entry in evaluation.forced.scores.classes if entry.support]
    kinds = {entry.label: _kind(entry.label, evaluation) for entry in scores}
    parts: list[str | Table] = []
    for kind in ("Large classes", "Reported separately", "Classes with few training images"):
        entries = [entry for entry in scores if kinds[entry.label] == kind]
        caption = kind if len(set(kinds.values())) > 1 else ""
        parts += [_class_table(entries, evaluation.forced, caption)] if entries else []
    if any(entry.support < FEW for entry in scores):
        parts.append(f"* judged on fewer than {FEW} images: the scores mean little.")
    return Section("Classes", tuple(parts))


def _kind(label: str, evaluation: Evaluation) -> str:
    if label in evaluation.few_shot:
        return "Classes with few training images"
    return "Reported separately" if label in evaluation.apart else "Large classes"


def _without(evaluation: Evaluation) -> str:
    if not evaluation.apart:
        return "large classes"
    return "without " + ", ".join(
        name_of(name) for name in (*evaluation.apart, *evaluation.few_shot)
    )


def _class_table(entries: Sequence[ClassScore], part: Part, caption: str) -> Table:
    rows = []
    for entry in entries:
        intervals = part.class_intervals.get(entry.label, {})
        numbers = [
            number(getattr(entry, name), intervals.get(name))
            for name in ("precision", "recall", "f1")
        ]
        mark = "*" if entry.support < FEW else ""
        rows.append((name_of(entry.label) + mark, *numbers, f"{entry.support:,}"))
    return Table(("class", "precision", "recall", "F1", "images"), tuple(rows), caption)


def _confusion(evaluation: Evaluation) -> Section:
    labels = tuple(entry.label for entry in evaluation.forced.scores.classes)
    words = "Rows are the true classes, columns the best guesses."
    return Section("Confusion matrix", (words, Matrix(labels, evaluation.forced.scores.matrix)))


def _sources(evaluation: Evaluation) -> Iterator[Section]:
    if not evaluation.by_source:
        return
    rows = [
        (name, f"{part.images:,}", *_three(part)) for name, part in evaluation.by_source.items()
    ]
    table = Table(("source", "images", *AVERAGES.values()), tuple(rows))
    outcomes = outcome_table(evaluation.outcomes_by_source)
    yield Section("Sources", (table, Table(("source", *outcomes.head[1:]), outcomes.rows)))


def _limits(evaluation: Evaluation) -> Section:
    parts = []
    if evaluation.left_out:
        counted = ", ".join(
            f"{name_of(name)} {count:,}" for name, count in evaluation.left_out.items()
        )
        parts.append(f"Left out, because the bundle does not know these classes: {counted}.")
    if evaluation.lacking:
        names = ", ".join(name_of(name) for name in evaluation.lacking)
        parts.append(f"Not judged, because the set has no images of these classes: {names}.")
    facts = (
        ("images judged", f"{evaluation.images:,}"),
        ("data folders", ", ".join(evaluation.sources)),
        ("data, SHA-256", evaluation.data),
        ("bundle, digest", evaluation.digest),
    )
    return Section("What was judged", (*parts, Table(("", ""), facts)))


def _three(part: Part) -> tuple[str, ...]:
    return tuple(number(getattr(part.scores, key), part.intervals.get(key)) for key in AVERAGES)


def outcome_section(evaluation: Evaluation) -> Section:
    """Return how many images were accepted, and why the others were not."""
    words = (
        "Accepted images are reported as a class. Uncertain ones go to review with their "
        "candidates, the classes that can't be ruled out. Unfamiliar ones are turned away. "
        "Coverage is the share of images whose candidates include the true class, size the number "
        "of candidates."
    )
    parts: list[str | Table] = [words, outcome_table(evaluation.outcomes)]
    reasons = evaluation.outcomes[0].reasons
    if reasons:
        parts.append(f"Not accepted: {_reasons(reasons)}.")
    if evaluation.promised is not None:
        parts += [
            f"The bundle promises sets that include the true class for "
            f"{percent(evaluation.promised, 1)} of each class's images. A set may be empty; the "
            "candidates above then fill in.",
            _promise_table(evaluation.promise),
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
        (name_of(entry.label), f"{entry.images:,}", percent(entry.coverage, 1), f"{entry.size:.2f}")
        for entry in entries
    ]
    return Table(("class", "images", "coverage kept", "size of the set"), tuple(rows))


def workload_section(evaluation: Evaluation) -> Section:
    """Return the bundle's own rule, then the same rule with a minimum confidence."""
    rows = [
        (
            "as the bundle decides"
            if load.threshold is None
            else f"and at least {load.threshold:g}",
            share(load.sent, load.sent_interval),
            f"{load.accepted:,}",
            DASH if load.error is None else share(load.error, load.error_interval),
        )
        for load in evaluation.workload
        if load.rule != "confidence" and load.threshold != 0
    ]
    words = (
        "How many images need review, and how many of the accepted ones are wrong, if a minimum "
        "confidence is required in addition to the bundle's own decision."
    )
    head = ("rule", "to review", "accepted", "wrong of accepted")
    return Section("Workload against error", (words, Table(head, tuple(rows))))


def confidence_section(evaluation: Evaluation) -> Section:
    """Return how well stated confidences match the share that is right."""
    stated = evaluation.confidence
    words = (
        f"Expected calibration error {stated.error:.4f} over {len(stated.bins)} bins of equal "
        f"width, {stated.error_by_mass:.4f} over bins of equally many images. Area under the "
        f"risk-coverage curve {stated.area:.4f}."
    )
    rows = [
        (
            f"{part.low:.2f} to {part.high:.2f}",
            f"{part.images:,}",
            percent(part.confidence, 1),
            percent(part.accuracy, 1),
        )
        for part in stated.bins
        if part.images
    ]
    table = Table(("confidence", "images", "stated", "right"), tuple(rows))
    return Section("Confidence", (words, CHARTS, table))


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


def comparison_section(comparison: Comparison) -> Section:
    """Return this bundle compared with another one on the same images."""
    rows = [
        ("accuracy of this bundle", f"{comparison.accuracy:.3f}"),
        ("accuracy of the other", f"{comparison.other_accuracy:.3f}"),
        ("difference", _signed(comparison)),
        ("same class", percent(comparison.agreement, 1)),
        ("only this one right", f"{comparison.only_this:,}"),
        ("only the other right", f"{comparison.only_other:,}"),
        ("p, McNemar's exact test", chance(comparison.p)),
    ]
    words = [f"The other bundle is {comparison.other}, on the same {comparison.images:,} images."]
    if comparison.left_out:
        names = ", ".join(name_of(name) for name in comparison.left_out)
        words.append(f"Left out, because only one bundle knows these classes: {names}.")
    if comparison.p_photographs is None:
        words.append("The test treats every image as independent; their photographs are not known.")
    else:
        rows.append(("p, photographs as units", chance(comparison.p_photographs)))
        words.append(
            "McNemar's test treats every image as independent, but copies of one photograph are "
            "not. If photographs have several images, rely on the last line and the interval."
        )
    return Section("Against another bundle", (words[0], Table(("", ""), tuple(rows)), *words[1:]))


def _signed(comparison: Comparison) -> str:
    if comparison.interval is None:
        return f"{comparison.difference:+.3f}"
    low, high = comparison.interval.low, comparison.interval.high
    return f"{comparison.difference:+.3f} [{low:+.3f} to {high:+.3f}]"


def _reasons(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{reason(name).words} {count:,}" for name, count in counted.items())
