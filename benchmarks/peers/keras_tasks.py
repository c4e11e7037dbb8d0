"""What is written first for this task: a Celery task per image, Keras `predict`, Redis for results.

See `benchmarks.others`. Whole images are brought to the network's size; no cell is looked for, so
it has less to do than the platform.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from celery import Celery
from celery.signals import worker_process_init
from PIL import Image

from ml.bundle import Bundle, default_bundle_path

BROKER = os.environ.get("BENCH_REDIS", "redis://127.0.0.1:6379/0")
app = Celery("other", broker=BROKER, backend=BROKER)
app.conf.update(worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True)
_held: dict[str, Any] = {}


@worker_process_init.connect  # type: ignore[untyped-decorator]
def load(**_: object) -> None:
    """Build the network in the child."""
    from ml.network.model import build_folded

    bundle = Bundle.load(Path(os.environ.get("BENCH_BUNDLE") or default_bundle_path()))
    metadata, shape = bundle.metadata, bundle.metadata.shape
    network = build_folded(metadata.architecture, shape, len(metadata.classes))
    network.load_weights(bundle.weights)
    _held.update(network=network, size=(shape.width, shape.height))


@app.task(name="other.classify")  # type: ignore[untyped-decorator]
def classify(path: str) -> list[float]:
    """The network's answer for one file."""
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB").resize(_held["size"]))
    (answer,) = _held["network"].predict(pixels[np.newaxis], verbose=0)
    return [float(number) for number in answer]
