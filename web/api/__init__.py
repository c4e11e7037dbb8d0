"""The HTTP API under /api/v1: JSON in and out, one blueprint per module. Clients rely on it."""

from __future__ import annotations

from flask import Blueprint


def blueprints() -> list[Blueprint]:
    """Return the blueprints of the API, and the health check."""
    from web.api import (
        archives,
        deletion,
        explanations,
        health,
        images,
        jobs,
        models,
        reports,
        results,
        uploads,
    )

    modules = (
        archives,
        deletion,
        explanations,
        health,
        images,
        jobs,
        models,
        reports,
        results,
        uploads,
    )
    return [module.blueprint for module in modules]
