"""The pages: one blueprint per module, named after what a person does there."""

from __future__ import annotations

from flask import Blueprint


def blueprints() -> list[Blueprint]:
    """Return the blueprints of all pages."""
    from web.pages import (
        account,
        deletion,
        erasure,
        images,
        jobs,
        models,
        people,
        reports,
        second_factor,
        sign_in,
        submit,
        why,
    )

    modules = (
        sign_in,
        account,
        second_factor,
        deletion,
        erasure,
        images,
        jobs,
        models,
        people,
        reports,
        submit,
        why,
    )
    return [module.blueprint for module in modules]
