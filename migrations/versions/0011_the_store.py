"""the image store that belongs to this database

Its mark is made, and written down here, by `core.installation` once the tables are there.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "store",
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("mark", name="pk_store"),
    )


def downgrade() -> None:
    """Undo. The mark stays in the store; going up again adopts it."""
    op.drop_table("store")
