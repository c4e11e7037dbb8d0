"""Each extra brings all that its part of the product imports, at its head or in a function."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
ROOMS = ("contract", "core", "hematovision", "lexicon", "migrations", "ml", "web", "worker")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What each extra is installed for, beside what comes without any.
PARTS = {
    "web": ["web.serving.server"],
    "worker": ["worker.main", "worker.tasks", "worker.sweeper"],
    "gpu": ["worker.main", "worker.tasks", "ml.serving.tensorflow_backend"],
    "train": [
        "hematovision.commands.data",
        "hematovision.commands.learn",
        "hematovision.commands.adapt",
        "hematovision.commands.evaluate",
    ],
    "postgres": ["core.db.postgresql"],
    "": ["hematovision.cli", "hematovision.commands.work"],
}
# Where a branch is taken only with another extra, which the code looks for before it imports it.
ELSEWHERE = {
    ("core.db.engine", "core.db.postgresql"): "postgres",
    ("ml.serving.inference", "tensorflow"): "gpu",
    ("ml.serving.inference", "ml.serving.tensorflow_backend"): "gpu",
}


def path_of(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def imports(module: str) -> frozenset[str]:
    """The modules that a module imports, the names it takes from packages among them."""
    path = path_of(module)
    tree = ast.parse(path.read_text()) if path else ast.Module([], [])
    branches = [node for node in ast.walk(tree) if _never_runs(node)]
    skipped = {node for branch in branches for node in ast.walk(branch)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{name.name}" for name in node.names]
            names |= {node.module, *filter(path_of, inside)}
    return frozenset(names)


def _never_runs(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def reached(modules: list[str]) -> Iterator[tuple[str, str]]:
    """Each foreign module that these import, themselves or by way of ours, and which does."""
    seen: set[str] = set()
    left = list(modules)
    while left:
        module = left.pop()
        if module in seen:
            continue
        seen.add(module)
        for imported in imports(module):
            if (module, imported) in ELSEWHERE:
                continue
            if imported.split(".")[0] in ROOMS:
                left.append(imported)
            elif imported.split(".")[0] not in sys.stdlib_module_names:
                yield imported.split(".")[0], module


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def brought(extra: str) -> set[str]:
    """The distributions that an extra brings, and those that it needs in turn."""
    declared = PROJECT["dependencies"] + PROJECT["optional-dependencies"].get(extra, [])
    names: set[str] = set()
    left = [Requirement(text) for text in declared]
    while left:
        requirement = left.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if normal(requirement.name) == "hematovision":
            for part in requirement.extras:
                names |= brought(part)
            continue
        key = normal(requirement.name)
        if key in names:
            continue
        names.add(key)
        left += _needs(requirement)
    return names


def _needs(requirement: Requirement) -> Iterator[Requirement]:
    try:
        texts = requires(requirement.name) or []
    except PackageNotFoundError:
        return
    for text in texts:
        needed = Requirement(text)
        extras = [*requirement.extras, ""]
        if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
            needed.marker = None
            yield needed


@pytest.mark.parametrize("extra", PARTS)
def test_an_extra_brings_all_that_its_part_imports(extra: str) -> None:
    distributions = packages_distributions()
    has = brought(extra)
    missing = {
        f"{name} (in {module})"
        for name, module in reached(PARTS[extra])
        if not {normal(distribution) for distribution in distributions.get(name, [name])} & has
    }
    assert not missing
