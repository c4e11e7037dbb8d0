"""When an answer is to be believed: calibrated probabilities, sets of classes, strangers.

What is measured on validation cells (`fitting`) travels in the bundle; `Trust.judge` turns a
network's outputs into verdicts by it. NumPy only, and nothing here runs a network.
"""

from ml.trust.calibration import TooFewCells
from ml.trust.judge import NOT_ONE_CELL, TRUST, Trust
from ml.trust.unfamiliar import TrustMismatch

__all__ = ["NOT_ONE_CELL", "TRUST", "TooFewCells", "Trust", "TrustMismatch"]
