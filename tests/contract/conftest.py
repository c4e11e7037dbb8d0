"""The application of the web's tests, whose answers are held against the contract."""

from tests.web.conftest import (
    api,
    app,
    blobs,
    classify,
    client,
    compiled,
    database,
    empty_database,
    png,
    queue,
    settings,
    submitted,
)

__all__ = [
    "api",
    "app",
    "blobs",
    "classify",
    "client",
    "compiled",
    "database",
    "empty_database",
    "png",
    "queue",
    "settings",
    "submitted",
]
