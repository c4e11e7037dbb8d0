"""The tables. `core.jobs`, `core.made`, `core.registry` and `core.people` write what is in them.

No rule about a row lives here, only its columns.
"""

from core.tables.base import Base
from core.tables.people import (
    LONGEST_KEY,
    Guesses,
    Intention,
    RecoveryCode,
    Role,
    SignIn,
    Token,
    User,
    roles_users,
)
from core.tables.trail import AuditEntry, AuditHead
from core.tables.work import (
    VERDICT_FIELDS,
    Derivative,
    Explanation,
    Image,
    Job,
    Leased,
    LooseBlob,
    Made,
    Model,
    Prediction,
    Report,
    Shard,
    Skipped,
    Store,
    Worker,
)

__all__ = [
    "LONGEST_KEY",
    "VERDICT_FIELDS",
    "AuditEntry",
    "AuditHead",
    "Base",
    "Derivative",
    "Explanation",
    "Guesses",
    "Image",
    "Intention",
    "Job",
    "Leased",
    "LooseBlob",
    "Made",
    "Model",
    "Prediction",
    "RecoveryCode",
    "Report",
    "Role",
    "Shard",
    "SignIn",
    "Skipped",
    "Store",
    "Token",
    "User",
    "Worker",
    "roles_users",
]
