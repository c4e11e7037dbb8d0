"""what a prediction may say beside its class"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BY_LABEL = "ix_image_job_id_state_label_confidence_id"
_BY_OUTCOME = "ix_image_job_id_state_outcome_confidence_id"
_BY_OUTCOME_AND_LABEL = "ix_image_job_id_state_outcome_label_confidence_id"


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("prediction") as prediction:
        prediction.add_column(sa.Column("candidates", sa.JSON(), nullable=True))
        prediction.add_column(
            sa.Column("reason", sa.String(length=40), nullable=False, server_default="")
        )
        prediction.add_column(sa.Column("familiarity", sa.Double(), nullable=True))
        prediction.add_column(sa.Column("box", sa.JSON(), nullable=True))
    sqlite = op.get_bind().dialect.name == "sqlite"
    listed = "json_array(label)" if sqlite else "json_build_array(label)"
    op.execute(f"UPDATE prediction SET candidates = {listed}")
    with op.batch_alter_table("prediction") as prediction:
        prediction.alter_column("candidates", existing_type=sa.JSON(), nullable=False)
        prediction.alter_column("reason", existing_type=sa.String(40), server_default=None)
    with op.batch_alter_table("image") as image:
        image.drop_index(_BY_LABEL)
        image.create_index(_BY_OUTCOME, ["job_id", "state", "outcome", "confidence", "id"])
        image.create_index(
            _BY_OUTCOME_AND_LABEL, ["job_id", "state", "outcome", "label", "confidence", "id"]
        )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("image") as image:
        image.drop_index(_BY_OUTCOME_AND_LABEL)
        image.drop_index(_BY_OUTCOME)
        image.create_index(_BY_LABEL, ["job_id", "state", "label", "confidence", "id"])
    with op.batch_alter_table("prediction") as prediction:
        for column in ("box", "familiarity", "reason", "candidates"):
            prediction.drop_column(column)
