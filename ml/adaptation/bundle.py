"""An adapted network → its folder: the bundle, the list of held-out crops, and its scores.

The folder is made aside and renamed when all is in it. Needs TensorFlow; a CPU worker never
imports this module.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ml.adaptation.adapt import Adapted, Order, Trial
from ml.adaptation.laboratory import write_held_out
from ml.adaptation.ways import NETWORK
from ml.bundle import Bundle, BundleExists, Metadata, write_bundle
from ml.bundle.folder import METADATA
from ml.data import Sample
from ml.data.dataset import counts, data_hash
from ml.evaluation.choosing import Choice
from ml.evaluation.comparison import Census, census, compare
from ml.evaluation.evaluate import Evaluation, evaluate
from ml.evaluation.judging import judge
from ml.serving import load_classifier
from ml.serving.neighbours import REFERENCES
from ml.training.assembly import write_network
from ml.training.quantization import Small, small_of
from ml.trust import TRUST
from ml.trust.judge import write_trust

HELD_OUT, ACCOUNT = "held_out.csv", "adaptation.json"
MARK = "+lab"


@dataclass(frozen=True)
class Account:
    """The result of adapting: the new bundle, how each way did, which one was used, and how both
    bundles score on the held-out crops (None if there are none); `census` is what both say of the
    crops without labels, if any were given."""

    bundle: Bundle
    way: str
    trials: tuple[Trial, ...]
    own: tuple[float, float] | None
    trust_anew: bool
    before: Evaluation | None
    after: Evaluation | None
    census: Census | None

    def as_dict(self) -> dict[str, Any]:
        """The account as JSON knows it."""
        return {
            "bundle": self.bundle.digest,
            "way": self.way,
            "trials": [asdict(trial) for trial in self.trials],
            "own_cells_right": self.own,
            "trust_measured_anew": self.trust_anew,
            "before": self.before.as_dict() if self.before else None,
            "after": self.after.as_dict() if self.after else None,
            "without_labels": asdict(self.census) if self.census else None,
        }


def require_place(out: Path) -> None:
    """Make sure that the new folder does not exist yet.

    Raises:
        BundleExists: if it does.
    """
    if out.exists():
        raise BundleExists(f"{out} already exists. Choose another folder for the new bundle.")


def write(adapted: Adapted, out: Path) -> Account:
    """Write the folder, and judge the old and the new bundle by the held-out crops.

    Raises:
        BundleExists: if `out` already exists.
        DataError: if a held-out crop can't be read.
    """
    require_place(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        aside.chmod(0o755)
        account = _filled(adapted, aside)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return replace(account, bundle=Bundle.load(out / "bundle"))


def _filled(adapted: Adapted, aside: Path) -> Account:
    """A bundle's scores are part of it, so it is written twice: first without, to be judged."""
    order, small = adapted.order, _small(adapted)
    metadata = replace(_metadata(adapted), int8=small.facts if small else {})
    draft = write_bundle(aside / "draft", metadata, lambda folder: _fill(folder, adapted, small))
    before, after = _judged(order, draft) if order.crops.held else (None, None)
    if after is not None:
        scores = {f"{order.crops.source}_held_out": asdict(after.forced)}
        metadata = replace(metadata, scores=scores)
    bundle = write_bundle(aside / "bundle", metadata, lambda folder: _copy(draft, folder))
    shutil.rmtree(draft.path)
    if after is not None:
        after = replace(after, model=bundle.title, digest=bundle.digest)
        write_held_out(order.crops.held, aside / HELD_OUT)
    looked = None
    if order.unlabelled:
        looked = census(order.bundle, bundle, order.unlabelled, order.report)
    done = (adapted.way, adapted.trials, adapted.own, adapted.trusted.anew)
    account = Account(bundle, *done, before, after, looked)
    text = json.dumps(account.as_dict(), indent=2) + "\n"
    (aside / ACCOUNT).write_text(text, encoding="utf-8")
    return account


def _judged(order: Order, draft: Bundle) -> tuple[Evaluation, Evaluation]:
    """What the held-out crops say of the old bundle, and of the new one beside it."""
    pair, held, choice = (order.bundle, draft), order.crops.held, _choice(order)
    before, after = (judge(load_classifier(bundle), held, order.report) for bundle in pair)
    was, became = evaluate(order.bundle, choice, before), evaluate(draft, choice, after)
    return was, replace(became, comparison=compare(after, before, order.bundle))


def _choice(order: Order) -> Choice:
    """The held-out crops; the evaluation's intervals take their photographs as units."""
    crops = order.crops
    there = {sample.label for sample in crops.held}
    lacking = tuple(name for name in order.bundle.metadata.classes if name not in there)
    return Choice(crops.held, "held_out", crops.left_out, lacking)


def _metadata(adapted: Adapted) -> Metadata:
    """What stands of the old bundle, with what was done to it."""
    order, old = adapted.order, adapted.order.bundle.metadata
    new = {order.crops.source, *(sample.source for sample in _learned_by_itself(adapted))}
    sources = sorted(new.union(old.data.get("sources", ())))
    version = old.version if old.version.endswith(MARK) else f"{old.version}{MARK}"
    return replace(
        old,
        name=order.name,
        version=version,
        data={**old.data, "sources": sources, "adapted": _facts(adapted)},
        scores={},
        trust=adapted.trusted.numbers,
    )


def _learned_by_itself(adapted: Adapted) -> tuple[Sample, ...]:
    """The crops without labels, if the way that was taken is the one that learns from them."""
    return adapted.order.unlabelled if adapted.way == NETWORK else ()


def _facts(adapted: Adapted) -> dict[str, Any]:
    order, crops, alone = adapted.order, adapted.order.crops, _learned_by_itself(adapted)
    return {
        "parent": order.bundle.digest,
        "parent_title": order.bundle.title,
        "source": crops.source,
        "how": adapted.way,
        "note": adapted.note,
        "seed": order.seed,
        "learned": counts(crops.learn),
        "sha256": data_hash(crops.learn),
        "held_out": counts(crops.held),
        "held_out_sha256": data_hash(crops.held),
        "left_out": dict(crops.left_out),
        "copies": crops.copies,
        "photographs_known": crops.grouped,
        "without_labels": len(alone),
        "without_labels_sha256": data_hash(alone) if alone else "",
        "rehearsed": counts(order.rehearsal),
    }


def _small(adapted: Adapted) -> Small | None:
    """The network in 8 bits, if the bundle that was adapted has it so."""
    if adapted.order.bundle.int8 is None:
        return None
    return small_of(adapted.network, adapted.cells, adapted.cells)


def _fill(folder: Path, adapted: Adapted, small: Small | None) -> None:
    """Write every file of the bundle but its metadata."""
    write_network(folder, adapted.network, small)
    if adapted.trusted.arrays:
        write_trust(folder / TRUST, adapted.trusted.arrays)
    references = adapted.order.bundle.path / REFERENCES
    if references.is_file():
        _write_references(references, folder / REFERENCES, adapted)


def _write_references(old: Path, new: Path, adapted: Adapted) -> None:
    """The same cells; their features are others if the whole network was taught on."""
    if adapted.way != "network" or adapted.own_outputs is None:
        shutil.copyfile(old, new)
        return
    features = adapted.own_outputs.features
    length = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    with np.load(old, allow_pickle=False) as arrays:
        others = {name: arrays[name] for name in arrays.files}
    np.savez(new, **{**others, "features": (features / length).astype(np.float16)})


def _copy(draft: Bundle, folder: Path) -> None:
    for file in draft.path.iterdir():
        if file.name != METADATA:
            shutil.copyfile(file, folder / file.name)
