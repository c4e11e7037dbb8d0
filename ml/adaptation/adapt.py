"""A bundle and a laboratory's own crops → a new bundle that knows the laboratory.

There are three ways, from gentlest to strongest: `recalibrate` scales the logits and adds a bias to
each class, `head` refits the last layer, `network` trains the whole network further. `auto` takes
the one that does best by cross-validation within the crops to learn from. The held-out crops are
looked at only once, after everything is decided.

    OUT/bundle/          the new bundle
    OUT/held_out.csv     the labelled crops that nothing was learned from: file, class, group
    OUT/adaptation.json  what was done, and the scores before and after

`network` can also learn from crops without labels. Without any labelled crop it is the only way,
and the result can't be judged.

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from ml.adaptation.finetuning import as_own, gate_over, network_of, own_cells, recipe_of, seen
from ml.adaptation.laboratory import Crops, folds
from ml.adaptation.refitting import Cells
from ml.adaptation.selftraining import ALONE, Pupil, self_taught, strangeness, surely
from ml.adaptation.trust import Trusted, measured, without_labels
from ml.adaptation.ways import NETWORK, NO_OWN, Lesson, Way, right_share, ways_for
from ml.answers import Outputs
from ml.bundle import Bundle
from ml.data import DataError, Labelled, Report, Sample
from ml.data.dataset import group_of
from ml.data.loading import joined, load
from ml.trust.calibration import fit_temperature, negative_log_likelihood

FOLDS = 3


@dataclass(frozen=True)
class Order:
    """What to adapt, to which crops, and `how`: auto or one of `ways_for`. `name` is the new
    bundle's, `rehearsal` holds the cells to rehearse if the bundle carries none, and `unlabelled`
    the laboratory's crops without labels."""

    bundle: Bundle
    crops: Crops
    how: str
    name: str
    seed: int
    report: Report
    rehearsal: tuple[Sample, ...] = ()
    unlabelled: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Trial:
    """How a way did on crops to learn from whose photographs it had not learned from: the mean
    recall of the classes, and the mean negative log-likelihood at the best temperature, in nats,
    every class counting alike. Both are None if `note` says why the way can't be used."""

    way: str
    recall: float | None
    nll: float | None
    note: str = ""


@dataclass(frozen=True)
class Adapted:
    """An adapted network with all that a bundle says of it.

    `own` is the share of the cells that it rehearses that is classified rightly before and after;
    None where there are none. `cells` are what it learned from, all together.
    """

    order: Order
    way: str
    note: str
    trials: tuple[Trial, ...]
    network: keras.Model
    trusted: Trusted
    own: tuple[float, float] | None
    own_outputs: Outputs | None
    cells: Labelled


def adapted(order: Order) -> Adapted:
    """Try the ways that were asked for, and adapt the network by the best one.

    Raises:
        DataError: if the chosen way can't be used, or an image can't be read.
        TrainingFailed: if training failed.
    """
    if order.unlabelled and order.how not in ("auto", NETWORK):
        raise DataError(f"Only --how {NETWORK} or auto can learn from crops without labels.")
    if not order.crops.labelled:
        return _by_itself(order)
    before = network_of(order.bundle)
    lesson = _lesson(order, before)
    ways = ways_for(lesson)
    asked = ways if order.how == "auto" else {order.how: ways[order.how]}
    if order.how != "auto" and ways[order.how].refusal:
        message = f"The bundle can't be adapted with --how {order.how}: "
        raise DataError(f"{message}{ways[order.how].refusal}.")
    crossed = {name: way.crossed() for name, way in asked.items() if not way.refusal}
    standings = {name: _standing(answer.outputs, lesson.cells) for name, answer in crossed.items()}
    best = min(standings, key=lambda name: standings[name][1])
    way = asked[best]
    network = way.network()
    one_cell, source = lesson.learn.one_cell, order.crops.source
    trusted = measured(order.bundle, crossed[best], lesson.cells, way.gate(), one_cell, source)
    if not trusted.anew:
        _cool(network, crossed[best].outputs, lesson.cells)
    trials = _trials(lesson, asked, standings)
    own = lesson.own
    if own is None:
        told = (order, best, way.note(), trials, network, trusted)
        return Adapted(*told, None, None, lesson.learn)
    after = seen(order.bundle, network, own)
    shares = (right_share(seen(order.bundle, before, own), own), right_share(after, own))
    cells = joined((lesson.learn, own))
    return Adapted(order, best, way.note(), trials, network, trusted, shares, after, cells)


def _lesson(order: Order, network: keras.Model) -> Lesson:
    samples = order.crops.learn
    learn = _loaded(order, samples)
    photographs = tuple(group_of(sample) for sample in samples)
    outputs = seen(order.bundle, network, learn)
    temperature = float(order.bundle.metadata.trust.get("temperature", 1.0))
    return Lesson(
        bundle=order.bundle,
        learn=learn,
        cells=Cells(outputs, learn.truth, photographs, temperature),
        own=_own(order),
        unlabelled=_loaded(order, order.unlabelled) if order.unlabelled else None,
        folds=np.array(folds(samples, FOLDS, order.seed), np.int64),
        seed=order.seed,
        report=order.report,
    )


def _loaded(order: Order, samples: Sequence[Sample]) -> Labelled:
    recipe = recipe_of(order.bundle)
    steps = order.bundle.metadata.preprocessing.widened(
        recipe.stored_shape.height / recipe.shape.height
    )
    return load(samples, recipe.classes, recipe.stored_shape, steps, order.report)


def _own(order: Order) -> Labelled | None:
    """The cells that are rehearsed."""
    if order.rehearsal:
        return as_own(_loaded(order, order.rehearsal))
    return own_cells(order.bundle, recipe_of(order.bundle).stored_shape)


def _by_itself(order: Order) -> Adapted:
    """The network after learning from crops without labels alone, and from its own cells."""
    own = _own(order)
    if own is None:
        raise DataError(f"The bundle can't be adapted without labelled crops: {NO_OWN}.")
    bundle, before = order.bundle, network_of(order.bundle)
    unlabelled = _loaded(order, order.unlabelled)
    names, few = bundle.metadata.classes, bundle.metadata.data.get("few_shot", ())
    needed = [number for number, name in enumerate(names) if name not in few]
    classes = range(len(names))
    pupil = Pupil(bundle, ALONE, (own,), unlabelled, classes, needed, order.seed, order.report)
    network, sure = self_taught(pupil, before)
    gate = gate_over(bundle, network, (own, sure))
    trusted = without_labels(bundle, gate, strangeness(pupil, network, sure))
    after = seen(bundle, network, own)
    shares = (right_share(seen(bundle, before, own), own), right_share(after, own))
    note = f"{len(own.truth)} own cells rehearsed, {surely(sure)}"
    cells = joined((own, sure))
    return Adapted(order, NETWORK, note, (), network, trusted, shares, after, cells)


def _standing(outputs: Outputs, cells: Cells) -> tuple[float, float]:
    """Mean recall of the classes, and negative log-likelihood at the best temperature."""
    right = outputs.logits.argmax(axis=1) == cells.truth
    recall = np.mean([right[cells.truth == number].mean() for number in np.unique(cells.truth)])
    temperature = fit_temperature(outputs.logits, cells.truth, cells.weights)
    nll = negative_log_likelihood(outputs.logits, cells.truth, temperature, cells.weights)
    return float(recall), nll


def _trials(
    lesson: Lesson, asked: dict[str, Way], standings: dict[str, tuple[float, float]]
) -> tuple[Trial, ...]:
    """Return the trial of each way, after that of the bundle as it is."""
    trials = [Trial("as it is", *_standing(lesson.cells.outputs, lesson.cells))]
    for name, way in asked.items():
        if way.refusal:
            trials.append(Trial(name, None, None, way.refusal))
        else:
            trials.append(Trial(name, *standings[name]))
    return tuple(trials)


def _cool(network: keras.Model, outputs: Outputs, cells: Cells) -> None:
    """Scale the last layer so that its confidences, at the temperature that the bundle keeps, are
    those that the cells bore out."""
    best = fit_temperature(outputs.logits, cells.truth, cells.weights)
    last = network.layers[-1]
    last.set_weights([part * (cells.temperature / best) for part in last.get_weights()])
