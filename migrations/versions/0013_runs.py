"""what stands of each shard while a later run replaces it, and who makes what is being made"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, tuple[TypeEngine[Any], str]] = {
    "judged_by": (sa.JSON(), "{}"),
    "kept": (sa.Integer(), "0"),
    "passed": (sa.Integer(), "0"),
}
_SHARD = sa.table("shard", sa.column("id"), sa.column("judged_by", sa.JSON()))
_JUDGED = sa.text(
    """
    SELECT shard_id, model_digest, count(*) FROM image
    WHERE state = 'classified' AND shard_id IS NOT NULL AND model_digest IS NOT NULL
    GROUP BY shard_id, model_digest
    """
)
_MADE = ("report", "explanation", "derivative")


def upgrade() -> None:
    """Apply. The columns keep their defaults: to lose them, SQLite would rebuild the table, which
    forgets the ids of shards that were deleted."""
    for name, (kind, default) in _COLUMNS.items():
        column = sa.Column(name, kind, nullable=False, server_default=sa.text(f"'{default}'"))
        op.add_column("shard", column)
    op.add_column("shard", sa.Column("done_at", sa.Double(), nullable=True))
    for table in _MADE:
        op.add_column(table, sa.Column("worker", sa.String(length=120), nullable=True))
        op.create_index(f"ix_{table}_state", table, ["state"])
    rows = _judged()
    if rows:
        statement = _SHARD.update().where(_SHARD.c.id == sa.bindparam("shard"))
        op.get_bind().execute(statement.values(judged_by=sa.bindparam("digests")), rows)


def _judged() -> list[dict[str, Any]]:
    """Return how many images of each shard which model judged."""
    found: dict[int, dict[str, int]] = {}
    for shard, digest, count in op.get_bind().execute(_JUDGED):
        found.setdefault(shard, {})[digest] = count
    return [{"shard": shard, "digests": digests} for shard, digests in found.items()]


def downgrade() -> None:
    """Undo."""
    for table in _MADE:
        op.drop_index(f"ix_{table}_state", table)
        op.drop_column(table, "worker")
    for name in ("done_at", *_COLUMNS):
        op.drop_column("shard", name)
