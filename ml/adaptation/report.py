"""The result of adapting a bundle, in words and tables for a terminal."""

from __future__ import annotations

from ml.adaptation.bundle import Account
from ml.adaptation.laboratory import Crops
from ml.adaptation.ways import NETWORK
from ml.evaluation.comparison import Census
from ml.evaluation.evaluate import Evaluation
from ml.evaluation.outcomes import Outcomes
from ml.evaluation.report.files import section_text
from ml.evaluation.report.parts import (
    AVERAGES,
    DASH,
    Section,
    Table,
    chance,
    name_of,
    number,
    percent,
)


def as_text(account: Account, crops: Crops) -> str:
    """Return the whole report: how crops were split, how the ways did, before and after."""
    made = [_crops(crops), _ways(account)] if crops.labelled else []
    if account.before is not None and account.after is not None:
        pair = account.before, account.after
        made += [_scores(*pair), _judging(*pair)]
    if account.census is not None:
        made.append(_census(account.census, account.way))
    made.append(_trust(account, crops))
    return "\n\n".join(section_text(section) for section in made) + "\n"


def _crops(crops: Crops) -> Section:
    labels = sorted({sample.label for sample in (*crops.learn, *crops.held)})
    rows = [
        (
            name_of(label),
            *(f"{sum(s.label == label for s in part):,}" for part in (crops.learn, crops.held)),
        )
        for label in labels
    ]
    rows.append(("all", f"{len(crops.learn):,}", f"{len(crops.held):,}"))
    words = []
    if not crops.grouped:
        words.append(
            "It is not known which photograph each crop comes from. Each file counts as its own "
            "photograph, and only exact copies were left out. If several crops come from one "
            "photograph or slide, the scores below are too good. Give --groups."
        )
    if crops.copies:
        words.append(f"Left out, as exact copies of other files: {crops.copies:,}.")
    if crops.left_out:
        left = ", ".join(f"{name_of(name)} {count:,}" for name, count in crops.left_out.items())
        words.append(f"Left out on request: {left}.")
    table = Table((f"crops of {crops.source}", "learned from", "held out"), tuple(rows))
    return Section("Crops", (table, *words))


def _ways(account: Account) -> Section:
    rows = []
    for trial in account.trials:
        remark = "taken" if trial.way == account.way else trial.note
        recall = DASH if trial.recall is None else f"{trial.recall:.3f}"
        nll = DASH if trial.nll is None else f"{trial.nll:.3f}"
        rows.append((trial.way, recall, nll, remark))
    words = (
        "Cross-validated by photograph within the crops to learn from. NLL is the mean of "
        "-log p(true class) at the best temperature: lower is better."
    )
    return Section("Ways", (Table(("", "mean recall", "NLL", ""), tuple(rows)), words))


def _scores(before: Evaluation, after: Evaluation) -> Section:
    rows = [
        (words, *(_average(evaluation, key) for evaluation in (before, after)))
        for key, words in AVERAGES.items()
    ]
    rows.append(
        ("expected calibration error", *(f"{e.confidence.error:.3f}" for e in (before, after)))
    )
    labels = [entry.label for entry in before.forced.scores.classes if entry.support]
    rows += [
        (
            f"recall of {name_of(label)}",
            *(_recall(evaluation, label) for evaluation in (before, after)),
        )
        for label in labels
    ]
    units = before.forced.intervals["accuracy"].units
    words = [
        f"Scored on {before.images:,} crops that were not learned from. In brackets: the 95 % "
        f"interval, by resampling {units:,} photographs."
    ]
    comparison = after.comparison
    if comparison is not None and comparison.p_photographs is not None:
        p = chance(comparison.p_photographs)
        words.append(
            f"Right now but wrong before: {comparison.only_this:,}. Right before but wrong now: "
            f"{comparison.only_other:,} (p {p}, photographs as units)."
        )
    table = Table(("held out", "before", "after"), tuple(rows))
    return Section("Before and after", (table, *words))


def _judging(before: Evaluation, after: Evaluation) -> Section:
    pair = before.outcomes[0], after.outcomes[0]
    rows = [
        (words, *(_share(outcomes, words) for outcomes in pair))
        for words in ("accepted", "uncertain", "unfamiliar", "wrong of accepted")
    ]
    return Section("Outcomes", (Table(("held out", "before", "after"), tuple(rows)),))


def _census(census: Census, way: str) -> Section:
    rows = [
        (name_of(name), *(percent(count, census.images) for count in pair))
        for name, pair in (*census.classes.items(), *census.outcomes.items())
    ]
    learned = (
        "The adapted network learned from these crops, so the numbers flatter it."
        if way == NETWORK
        else f"They were not learned from: only {NETWORK} does that, and {way} was used."
    )
    words = (
        f"Best guesses and outcomes; nobody has checked whether they are right. {learned} Do not "
        "use it if the shares of the classes can't be true for your patients."
    )
    head = (f"{census.images:,} crops without labels", "before", "after")
    return Section("Without labels", (Table(head, tuple(rows)), words))


def _trust(account: Account, crops: Crops) -> Section:
    parts = []
    if account.bundle.metadata.trust:
        parts.append(str(account.bundle.metadata.trust["note"]))
    if account.own is not None:
        was, became = (percent(share, 1) for share in account.own)
        parts.append(
            f"Of the bundle's own rehearsed cells, {was} were right before and {became} after."
        )
    if crops.labelled:
        parts.append("Classes without any crop to learn from were neither adapted nor judged here.")
    else:
        parts.append(
            "Nothing above tells how often the adapted bundle is right. Before you use it, label "
            "some other crops, and judge both bundles on them with evaluate."
        )
    return Section("When to believe it", tuple(parts))


def _average(evaluation: Evaluation, key: str) -> str:
    return number(getattr(evaluation.forced.scores, key), evaluation.forced.intervals.get(key))


def _recall(evaluation: Evaluation, label: str) -> str:
    (entry,) = (score for score in evaluation.forced.scores.classes if score.label == label)
    return number(entry.recall, evaluation.forced.class_intervals[label].get("recall"))


def _share(outcomes: Outcomes, words: str) -> str:
    if words == "wrong of accepted":
        return percent(outcomes.wrong, outcomes.accepted)
    return percent(getattr(outcomes, words), outcomes.images)
