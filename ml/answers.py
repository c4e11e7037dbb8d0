"""What a network answers, as numbers: what every floor of this room passes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outputs:
    """What a network returns for a batch: `logits`, float32 (N, classes), before the softmax, and
    `features`, float32 (N, channels), the input of its head averaged over the places."""

    logits: NDArray[np.float32]
    features: NDArray[np.float32]
