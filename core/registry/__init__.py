"""Which models there are and which of them judges; `models` is the only writer of their states.

`agreement` compares two of them, `scores` reads what was recorded of one. No bundle is opened here.
"""

from core.registry.agreement import Agreement, ClassAgreement, compare
from core.registry.models import (
    ACTIVE,
    Facts,
    Listed,
    activate,
    active,
    add,
    bundle_key,
    choosable,
    choose,
    differing_classes,
    find,
    listing,
    make_candidate,
    retire,
    roll_back,
    shadow,
    shadows_of,
    start_with,
    title,
)
from core.registry.scores import Score, read_scores

__all__ = [
    "ACTIVE",
    "Agreement",
    "ClassAgreement",
    "Facts",
    "Listed",
    "Score",
    "activate",
    "active",
    "add",
    "bundle_key",
    "choosable",
    "choose",
    "compare",
    "differing_classes",
    "find",
    "listing",
    "make_candidate",
    "read_scores",
    "retire",
    "roll_back",
    "shadow",
    "shadows_of",
    "start_with",
    "title",
]
