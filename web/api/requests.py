"""JSON bodies as typed values, or an error that says what is wrong with them."""

from __future__ import annotations

from typing import TypeVar

from flask import request
from pydantic import ValidationError

from contract.base import Request
from core.errors import BadInput

R = TypeVar("R", bound=Request)


def body_as(kind: type[R]) -> R:
    """Return the request's JSON as ``kind``. Raises `BadInput`."""
    try:
        return kind.model_validate_json(request.get_data() or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the body"
        raise BadInput(f"The JSON is not valid: {field}: {first['msg']}.") from error
