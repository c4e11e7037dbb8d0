"""what each shard counts of its results"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, tuple[TypeEngine[Any], str]] = {
    "accepted": (sa.JSON(), "{}"),
    "uncertain": (sa.Integer(), "0"),
    "unfamiliar": (sa.Integer(), "0"),
}
_SHARD = sa.table("shard", sa.column("id"), *(sa.column(n, t) for n, (t, _) in _COLUMNS.items()))
_COUNTED = sa.text(
    """
    SELECT shard_id, outcome, label, count(*) FROM image
    WHERE state = 'classified' AND shard_id IS NOT NULL
    GROUP BY shard_id, outcome, label ORDER BY shard_id
    """
)


def upgrade() -> None:
    """Apply. The columns keep their defaults: to lose them, SQLite would rebuild the table, which
    forgets the ids of shards that were deleted."""
    for name, (kind, default) in _COLUMNS.items():
        column = sa.Column(name, kind, nullable=False, server_default=sa.text(f"'{default}'"))
        op.add_column("shard", column)
    rows = _tallies()
    if rows:
        values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in _COLUMNS}
        op.get_bind().execute(
            _SHARD.update().where(_SHARD.c.id == sa.bindparam("shard")).values(values), rows
        )


def _tallies() -> list[dict[str, Any]]:
    """Return what stands in the images, shard by shard."""
    tallies: dict[int, dict[str, Any]] = {}
    for shard, outcome, label, count in op.get_bind().execute(_COUNTED):
        empty = {"shard": shard, "new_accepted": {}, "new_uncertain": 0, "new_unfamiliar": 0}
        tally = tallies.setdefault(shard, empty)
        if outcome in ("uncertain", "unfamiliar"):
            tally[f"new_{outcome}"] += count
        else:
            accepted = tally["new_accepted"]
            accepted[label] = accepted.get(label, 0) + count
    return list(tallies.values())


def downgrade() -> None:
    """Undo."""
    for name in _COLUMNS:
        op.drop_column("shard", name)
