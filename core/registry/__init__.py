"""Which models there are and which of them judges; `models` is the only writer of their states.

`quality` compares two of them, and reads the scores recorded of one. No bundle is opened here.
"""

from core.registry.models import (
    ACTIVE,
    BundleFacts,
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
from core.registry.quality import Agreement, ClassAgreement, Score, compare, read_scores

__all__ = [
    "ACTIVE",
    "Agreement",
    "BundleFacts",
    "ClassAgreement",
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
