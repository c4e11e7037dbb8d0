"""keys of requests that may be repeated"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "intention",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("made_id", sa.BigInteger(), nullable=True),
        sa.Column("noted_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_intention_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_intention")),
    )
    op.create_index(op.f("ix_intention_noted_at"), "intention", ["noted_at"])


def downgrade() -> None:
    """Undo."""
    op.drop_index(op.f("ix_intention_noted_at"), "intention")
    op.drop_table("intention")
