"""Models as plain values: the API sends and the pages show the same ones."""

from __future__ import annotations

from core import jobs
from core.registry import Listed, read_scores
from core.tables import Model
from web.shown.summaries import Summary, named


def summarise_model(model: Model) -> Summary:
    """Return a model with its classes; those with few training images are marked."""
    few = jobs.few_shot([model])
    return {
        "digest": model.digest,
        "name": model.name,
        "version": model.version,
        "state": model.state.value,
        "classes": [named(name, name in few) for name in model.classes],
    }


def summarise_listed(one: Listed, current: Model | None) -> Summary:
    """Return a model for administrators: scores, use, and its agreement with the active one."""
    model = one.model
    return summarise_model(model) | {
        "scores": [{"images": s.images, "accuracy": str(s)} for s in read_scores(model.scores)],
        "jobs": one.jobs,
        "complete": model.added_at is not None,
        "added_at": model.added_at,
        "activated_at": model.activated_at,
        "recipe": model.facts.get("recipe", ""),
        "sources": model.facts.get("sources", ()),
        "signed_by": model.signed_by,
        "agreement": _agreement(one),
        "other_classes": set(model.classes) != set(current.classes) if current else False,
    }


def _agreement(one: Listed) -> Summary | None:
    found = one.agreement
    if found is None:
        return None
    classes = [
        named(c.name, few=False)
        | {"images": c.images, "equal": c.equal, "share": c.equal / c.images}
        for c in found.classes
    ]
    return {"images": found.images, "share": found.share, "classes": classes}
