"""why a model judged an image as it did"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "explanation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("published_at", sa.Double(), nullable=True),
        sa.Column("blob_key", sa.String(length=200), nullable=True),
        sa.Column("findings", sa.JSON(), nullable=True),
        sa.Column("message", sa.String(length=400), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["image.id"],
            name=op.f("fk_explanation_image_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_digest"], ["model.digest"], name=op.f("fk_explanation_model_digest")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_explanation")),
        sa.UniqueConstraint(
            "image_id", "model_digest", name=op.f("uq_explanation_image_id_model_digest")
        ),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("explanation")
