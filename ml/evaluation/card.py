"""The model card of a bundle, as Markdown: what was recorded of it and of its evaluations.

After Mitchell et al., "Model cards for model reporting", 2019. What was not recorded is called
unknown; nothing is added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lexicon.outcomes import Outcome
from lexicon.words import NOTICE
from ml.bundle import Bundle
from ml.errors import MlError
from ml.evaluation.report.parts import AVERAGES, DASH, Section, Table, name_of, number, percent
from ml.metrics import Interval
from ml.reading import Preprocessing
from ml.serving.neighbours import References

FEW_PHOTOGRAPHS = 30
# What of a recipe stands elsewhere on the card.
ELSEWHERE = ("attribution", "intended_use")
NOT_FOR = (
    "It must not be used for diagnosis without review by a qualified person; to report cells that "
    "nobody has looked at; on whole fields of view; on cells that belong to none of its classes, "
    "such as blasts and other abnormal cells; on stains unlike those of its training images; or in "
    "a laboratory where it was not evaluated on the laboratory's own labelled crops."
)
# What the scores of a training run were measured on.
RECORDED = {
    "validation": (
        "Scores on its validation images",
        "These photographs guided training, and perhaps ended it: they are not a test.",
    ),
    "random_split_that_leaks": (
        "Scores on a split that leaks",
        "It learned from copies of the images that it was judged on: THESE SCORES SAY NOTHING "
        "about new photographs.",
    ),
}


class CardError(MlError):
    """An evaluation that does not fit the card."""


def read_evaluation(path: Path, bundle: Bundle) -> Mapping[str, Any]:
    """An evaluation of this bundle, from `evaluation.json` or, of an adapted one, from
    `adaptation.json`.

    Raises:
        CardError: if the file is not an evaluation, or is one of another bundle.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        facts: Mapping[str, Any] = document.get("after", document)
        digest = facts["digest"]
        evaluation(facts)
    except OSError as error:
        raise CardError(f"{path} can't be read: {error}.") from error
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        message = f"{path} is no evaluation. Give an evaluation.json of `hematovision evaluate`."
        raise CardError(message) from error
    if digest != bundle.digest:
        message = f"{path} is an evaluation of {facts['model']}, not of {bundle.title}."
        raise CardError(message)
    return facts


def card(bundle: Bundle, evaluations: Sequence[Mapping[str, Any]] = ()) -> str:
    """The card as Markdown."""
    metadata = bundle.metadata
    head = f"# Model card: {metadata.name} {metadata.version}"
    parts = [head, f"**{NOTICE}**", f"Digest: `{bundle.digest}`"]
    made = [_use(bundle), _classes(bundle), _data(bundle)]
    made += [_adaptation(metadata.data["adapted"])] if "adapted" in metadata.data else []
    made += recorded(metadata.scores)
    made += [evaluation(entry) for entry in evaluations]
    made += [_trust(bundle), _limits(bundle, evaluations), _making(bundle)]
    return "\n\n".join([*parts, *(_markdown(section) for section in made)]) + "\n"


def _use(bundle: Bundle) -> Section:
    words = bundle.metadata.intended_use or "Unknown: none was recorded."
    return Section("Intended use", (words, NOT_FOR))


def _classes(bundle: Bundle) -> Section:
    metadata = bundle.metadata
    few, photographs = set(metadata.data.get("few_shot", ())), _photographs(bundle)
    rows = [
        (
            name_of(name) + (" (few training images)" if name in few else ""),
            *(_count(metadata.data.get(part, {}), name) for part in ("training", "validation")),
            _count(photographs, name),
        )
        for name in metadata.classes
    ]
    head = ("class", "training images", "validation images", "validation photographs")
    parts: list[str | Table] = [Table(head, tuple(rows))]
    parts.append("Several images may be copies or neighbours of the same photograph.")
    rare = [name for name in metadata.classes if 0 < photographs.get(name, 0) < FEW_PHOTOGRAPHS]
    if rare:
        parts.append(
            f"Few validation photographs (under {FEW_PHOTOGRAPHS}): {_listed(rare)}. Their scores "
            "are uncertain, as the intervals show."
        )
    if few:
        names = _listed([name for name in metadata.classes if name in few])
        parts.append(f"Learned from few images, so always review: {names}.")
    return Section("Classes", tuple(parts))


def _data(bundle: Bundle) -> Section:
    data = bundle.metadata.data
    split = data.get("split", {})
    rows = [
        ("image sets", ", ".join(data.get("sources", ())) or "unknown"),
        ("licences and attribution", _attribution(bundle) or "unknown: none were recorded"),
        ("held out for validation", _split(split, leaking=bool(data.get("leaking", False)))),
        ("data, SHA-256", f"`{data['sha256']}`" if "sha256" in data else "unknown"),
    ]
    return Section("Data", (Table(("", ""), tuple(rows)),))


def _split(split: Mapping[str, Any], *, leaking: bool) -> str:
    if leaking:
        return "images at random: THIS LEAKS, so the validation scores mean nothing"
    if not split:
        return "unknown"
    return f"whole photographs, a share of {percent(split['share'], 1)}, seed {split['seed']}"


def _adaptation(facts: Mapping[str, Any]) -> Section:
    words = [
        f"Adapted from {facts['parent_title']}; way: {facts['how']}. The numbers of training "
        "images above and the recipe below are those of that bundle."
    ]
    rows = [("adapted from, digest", f"`{facts['parent']}`")]
    if facts["learned"]:
        learned = ", ".join(f"{name_of(name)} {count}" for name, count in facts["learned"].items())
        count, held = sum(facts["learned"].values()), sum(facts["held_out"].values())
        words.append(
            f"It learned from {count} labelled crops of {facts['source']} ({learned}); {held:,} "
            "were held out."
        )
        rows += [
            ("crops learned from, SHA-256", f"`{facts['sha256']}`"),
            ("crops held out, SHA-256", f"`{facts['held_out_sha256']}`"),
        ]
    if facts.get("without_labels"):
        words.append(
            f"It learned from {facts['without_labels']:,} crops without labels, by its own surest "
            f"answers: {facts['note']}."
        )
        rows.append(("crops without labels, SHA-256", f"`{facts['without_labels_sha256']}`"))
    if facts["learned"] and not facts["photographs_known"]:
        words.append(
            "It is not known which photograph each crop comes from. Each file counts as its own "
            "photograph, so the scores on the held-out crops may be too good."
        )
    return Section("Adaptation", (*words, Table(("", ""), tuple(rows))))


def _trust(bundle: Bundle) -> Section:
    numbers = bundle.metadata.trust
    if not numbers:
        plain = "Every image is accepted: the bundle can't tell when it does not know."
        return Section("When it says that it does not know", (plain,))
    rows = [
        ("temperature", f"{numbers['temperature']:.3f}"),
        (
            "promised share of images whose candidates hold the true class",
            _share(numbers["coverage"]),
        ),
        ("share of validation cells that are familiar", _share(numbers.get("accepted"))),
        ("gate", str(numbers["gate"])),
        ("threshold of the gate", f"{numbers['threshold']:.3f}"),
    ]
    level = next((e for e in numbers["levels"] if e["coverage"] == numbers["coverage"]), None)
    pooled = level["pooled"] if level else ()
    names = [n for n, is_pooled in zip(bundle.metadata.classes, pooled, strict=False) if is_pooled]
    words = [str(numbers["note"])] if "note" in numbers else []
    if names:
        words.append(
            f"The promise is for all classes together, not for each of these: {_listed(names)}."
        )
    words.append(
        "An uncertain image goes to review with its candidates; an unfamiliar one is turned away."
    )
    table = Table(("", ""), tuple(rows))
    return Section("When it says that it does not know", (table, *words))


def _limits(bundle: Bundle, evaluations: Sequence[Mapping[str, Any]]) -> Section:
    seen = set(bundle.metadata.data.get("sources", ()))
    others = sorted({name for entry in evaluations for name in entry["sources"]} - seen)
    words = [
        f"Evaluated on image sets that it did not learn from: {', '.join(others)}."
        if others
        else "No score on this card comes from a laboratory that the bundle did not learn from.",
        "Scores on one laboratory's images say little about another's: stain, microscope and "
        "camera differ. First evaluate it on your own labelled crops with `hematovision evaluate`.",
        "The unit of every interval is the photograph, or the group of images that the set says "
        "belong together. It is neither the patient nor the laboratory.",
    ]
    return Section("Limits", tuple(words))


def _making(bundle: Bundle) -> Section:
    metadata = bundle.metadata
    shape = f"{metadata.shape.width} × {metadata.shape.height} pixels"  # noqa: RUF001
    rows = [
        ("network", f"{metadata.architecture.base}, width {metadata.architecture.alpha:g}"),
        ("input", f"{_sight(metadata.preprocessing)}, {shape}"),
        ("libraries", ", ".join(f"{name} {text}" for name, text in metadata.libraries.items())),
        ("in 8 bits, on CPUs", _eight_bits(metadata.int8)),
    ]
    recipe = {name: value for name, value in metadata.recipe.items() if name not in ELSEWHERE}
    rows += [(f"recipe: {name}", _value(value)) for name, value in recipe.items()]
    rows += [(f"SHA-256 of {name}", f"`{text}`") for name, text in metadata.files.items()]
    return Section("How it was made", (Table(("", ""), tuple(rows)),))


def _eight_bits(facts: Mapping[str, Any]) -> str:
    if not facts:
        return "no: CPU workers run it in float"
    used = "yes" if facts["used"] else "no, its answers differ from those in float"
    return (
        f"{used}: the same class on {percent(facts['agreement'], 1)} of {facts['images']:,} "
        f"images; right only in 8 bits on {facts['only_int8']}, only in float on "
        f"{facts['only_float']} (p {facts['p']:.2f}, McNemar's exact test)"
    )


def _sight(steps: Preprocessing) -> str:
    if not steps.locator:
        return "the whole image, stretched"
    span = f" of {steps.span:g} red-cell diameters" if steps.span else ""
    return f"a square{span} round the cell found in the image"


def _attribution(bundle: Bundle) -> str:
    references = References.load(bundle)
    recipe = str(bundle.metadata.recipe.get("attribution", ""))
    return recipe or (references.attribution if references else "")


def _photographs(bundle: Bundle) -> Mapping[str, int]:
    photographs: Mapping[str, int] = bundle.metadata.trust.get("validation", {}).get(
        "photographs", {}
    )
    return photographs


def _count(counted: Mapping[str, int], name: str) -> str:
    return f"{counted[name]:,}" if name in counted else "unknown"


def _share(value: float | None) -> str:
    return "unknown" if value is None else percent(value, 1)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name_of(name) for name in names)


def _value(value: Any) -> str:
    """A field of the recipe as JSON has it, safe in a cell of a table."""
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def _markdown(section: Section) -> str:
    blocks = [f"## {section.title}"]
    for part in section.parts:
        if isinstance(part, str):
            blocks.append(part)
        elif isinstance(part, Table):
            blocks.append(_rows(part))
    return "\n\n".join(blocks)


def _rows(table: Table) -> str:
    """A table in Markdown: the first column to the left; numbers to the right."""
    numbers = "---:" if table.headed else "---"
    lines = [table.head, ("---", *(numbers for _ in table.head[1:])), *table.rows]
    text = "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
    return f"{table.caption}\n\n{text}" if table.caption else text


def recorded(scores: Mapping[str, Any]) -> list[Section]:
    """Return the scores that a bundle carries, one section per set."""
    sections = []
    for name, facts in scores.items():
        words = name.replace("_", " ")
        title, note = RECORDED.get(name, (f"Scores on {words}", ""))
        # A training run records plain scores, an adaptation a part with its intervals.
        part = facts if "scores" in facts else {**facts, "scores": facts}
        sections.append(Section(title, (*_part(part), *([note] if note else []))))
    return sections


def evaluation(facts: Mapping[str, Any]) -> Section:
    """An evaluation as `ml.evaluation.Evaluation.as_dict` has it."""
    kinds = {
        "random": "a random split, WHICH LEAKS",
        "whole": "the whole set",
        "shipped": "its shipped test split",
    }
    split = str(facts["split"])
    kind = kinds.get(split, f"its part {split.replace('_', ' ')}")
    sources = ", ".join(facts["sources"])
    parts: list[str | Table] = [f"{facts['images']:,} images of {sources}: {kind}."]
    parts += _part(facts["forced"])
    if facts.get("large"):
        parts.append(f"Large classes only: {_averages(facts['large'])}.")
    if facts.get("accepted"):
        parts.append(f"Accepted images only: {_averages(facts['accepted'])}.")
    parts.append(f"Expected calibration error {facts['confidence']['error']:.4f}.")
    parts.append(_outcomes(facts["outcomes"]))
    if facts.get("promised"):
        parts.append(_promise(facts["promised"], facts["promise"]))
    if facts.get("unfamiliar"):
        parts.append(_unfamiliar(facts["unfamiliar"]))
    if facts.get("left_out"):
        left = ", ".join(f"{name_of(name)} {count:,}" for name, count in facts["left_out"].items())
        parts.append(f"Left out: {left}.")
    if facts.get("lacking"):
        parts.append(f"Not judged: {', '.join(name_of(name) for name in facts['lacking'])}.")
    return Section(f"Evaluation: {sources}", tuple(parts))


def _part(part: Mapping[str, Any]) -> list[str | Table]:
    """The averages, the classes, and the unit of the intervals."""
    intervals, by_class = part.get("intervals", {}), part.get("class_intervals", {})
    rows = []
    for entry in part["scores"].get("classes", ()):
        if entry["support"]:
            own = by_class.get(entry["label"], {})
            cells = [
                number(entry[key], _interval(own.get(key))) for key in ("precision", "recall", "f1")
            ]
            rows.append((name_of(entry["label"]), *cells, f"{entry['support']:,}"))
    words = "No intervals were recorded."
    if intervals:
        units = intervals["accuracy"].get("units", 0)
        words = f"In brackets: the 95 % interval over {units:,} source groups (photographs)."
    table = Table(("class", "precision", "recall", "F1", "images"), tuple(rows))
    return [f"Best guess of every image: {_averages(part)}.", *([table] if rows else []), words]


def _averages(part: Mapping[str, Any]) -> str:
    intervals = part.get("intervals", {})
    shown = (
        f"{words} {number(part['scores'][key], _interval(intervals.get(key)))}"
        for key, words in AVERAGES.items()
        if key in part["scores"]
    )
    return ", ".join(shown)


def _interval(ends: Mapping[str, Any] | None) -> Interval | None:
    return None if ends is None else Interval(ends["low"], ends["high"], ends.get("units", 0))


def _outcomes(entries: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            name_of(entry["name"]),
            *(percent(entry[key], entry["images"]) for key in Outcome),
            percent(entry["wrong"], entry["accepted"]),
            percent(entry["coverage"], 1),
            f"{entry['size']:.2f}",
        )
        for entry in entries
    ]
    head = ("outcome", *Outcome, "wrong of accepted", "coverage", "candidates")
    return Table(head, tuple(rows))


def _promise(promised: float, entries: Sequence[Mapping[str, Any]]) -> str:
    reached = (f"{name_of(entry['label'])} {percent(entry['coverage'], 1)}" for entry in entries)
    return f"The promised coverage is {percent(promised, 1)}. Reached: {', '.join(reached)}."


def _unfamiliar(entries: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            entry["name"],
            f"{entry['images']:,}",
            percent(entry["caught"], entry["images"]),
            percent(entry["accepted"], entry["images"]),
            DASH if entry["auroc"] is None else f"{entry['auroc']:.4f}",
        )
        for entry in entries
    ]
    head = ("images of other things", "images", "turned away", "accepted", "AUROC")
    return Table(head, tuple(rows))
