"""JSON bodies as typed values, or an error that says what is wrong with them."""

from __future__ import annotations

from typing import TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from core.errors import BadInput

T = TypeVar("T", bound=BaseModel)


def body_as(kind: type[T]) -> T:
    """Return the request's JSON as ``kind``. Raises `BadInput`."""
    try:
        return kind.model_validate_json(request.get_data() or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise BadInput(f"The JSON is not valid: {place}: {first['msg']}.") from error
