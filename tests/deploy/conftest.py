"""The deployment files as text, and the Compose file's services one by one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root() -> Path:
    """Return the repository's root."""
    return ROOT


@pytest.fixture
def compose(root: Path) -> str:
    """Return the Compose file."""
    return (root / "docker-compose.yml").read_text()


@pytest.fixture
def dockerfile(root: Path) -> str:
    """Return the Dockerfile."""
    return (root / "Dockerfile").read_text()


@pytest.fixture
def services(compose: str) -> dict[str, str]:
    """Return the lines of each service by its name."""
    body = compose.split("\nservices:\n")[1].split("\nnetworks:\n")[0]
    parts = re.split(r"^  ([a-z-]+):$", body, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
