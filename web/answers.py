"""The models of `contract` as JSON bodies. The server sends no other JSON, `results.json` apart,
which `web.shown.exports` streams."""

from __future__ import annotations

from flask import Response, jsonify

from contract.base import Answer


def json_answer(model: Answer, status: int = 200) -> Response:
    """Return an answer with a model as its body, the keys in alphabetical order."""
    response = jsonify(model.model_dump(by_alias=True))
    response.status_code = status
    return response
