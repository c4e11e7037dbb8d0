"""All that an interrupted run needs to continue, in one file that is never half-written.

The file is an uncompressed .npz: one array per variable, and the facts as JSON. No pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ml.errors import MlError

FACTS = "facts"

Arrays = Mapping[str, NDArray[Any]]


class CheckpointUnreadable(MlError):
    """A checkpoint that is missing or damaged, or belongs to another network."""


def save(path: Path, arrays: Arrays, facts: Mapping[str, Any]) -> None:
    """Write a checkpoint aside, then put it in the place of the one before."""
    aside = path.with_name(f".{path.name}")
    with aside.open("wb") as file:
        # NumPy's annotations take the arrays' names for its own options.
        np.savez(file, **{FACTS: np.array(json.dumps(facts)), **arrays})  # type: ignore[arg-type]
    aside.replace(path)


def restore(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the facts of a checkpoint.

    Raises:
        CheckpointUnreadable: if it is missing or damaged.
    """
    try:
        # Opened here, for NumPy leaves the file of a damaged archive open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(str(arrays.pop(FACTS)))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        message = f"The checkpoint {path} can't be read ({error}). Start the run in a new folder."
        raise CheckpointUnreadable(message) from error
