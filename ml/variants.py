"""Makes variants of a recipe, with some fields changed, for ablations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ml.errors import MlError
from ml.recipes.recipe import Recipe

# What says which recipe it is rather than what it does; the protocol has an option of its own.
FIXED = ("changes", "name", "protocol", "version")
LEAKING = "leaking"


class BadChange(MlError):
    """A change to a recipe names no field of it, or a value that the field can't take."""


def variant(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with each `FIELD=VALUE` applied, under a name of its own.

    A field inside another one is named with a dot (`jitter.zoom=0.3`); a tuple is written as
    JSON or, where it holds words, with commas; `none` stands for no value. The name tells a
    variant from the recipe, and two variants from each other.

    Raises:
        BadChange: if there is no such field, or the value is not of its type or range.
    """
    if not changes:
        return recipe
    values = asdict(recipe)
    for change in changes:
        _set(values, change)
    try:
        changed = TypeAdapter(Recipe).validate_python(values)
    except ValidationError as error:
        raise BadChange(_sentence(error)) from None
    mark = hashlib.sha256("\n".join(sorted(changes)).encode()).hexdigest()[:6]
    return replace(changed, name=f"{recipe.name}-variant-{mark}", changes=tuple(changes))


def leaking(recipe: Recipe) -> Recipe:
    """The recipe by the random protocol, under a name that says that its scores leak."""
    return replace(recipe, name=f"{recipe.name}-{LEAKING}", protocol="random")


def _set(values: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    *parents, field = path.strip().split(".")
    if not equals or not field:
        raise BadChange(f"{change!r} is not a change to a recipe. Write FIELD=VALUE.")
    target: Any = values
    for parent in parents:
        target = target.get(parent) if isinstance(target, dict) else None
    if not isinstance(target, dict) or field not in target or path in FIXED:
        place = ".".join(parents) or "a recipe"
        known = sorted(set(target) - set(FIXED)) if isinstance(target, dict) else []
        what = f"the fields of {place} are {', '.join(known)}" if known else f"{place} has none"
        raise BadChange(f"{path.strip()!r} can't be set: {what}.")
    target[field] = _value(text.strip(), target[field])


def _value(text: str, now: Any) -> Any:
    """Return the value that a command-line text means; `now` is the field's present value."""
    if text.lower() == "none":
        return None
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            raise BadChange(f"{text!r} is not JSON.") from None
    if isinstance(now, tuple):
        return tuple(word.strip() for word in text.split(",") if word.strip())
    return text


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    told = first["msg"].removeprefix("Value error, ")
    where = f"{field}={first['input']} is refused: " if field else ""
    return f"The recipe can't be changed like this: {where}{told}."
