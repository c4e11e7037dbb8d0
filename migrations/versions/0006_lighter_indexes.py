"""indexes of images that hold less, so that writing an image costs less"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Index → its columns, and the column that is NULL in the rows which it now leaves out.
_PARTIAL = {
    "ix_image_job_id_state_outcome_label_confidence_id": (
        ["job_id", "state", "outcome", "label", "confidence", "id"],
        "confidence",
    ),
    "ix_image_job_id_state_outcome_confidence_id": (
        ["job_id", "state", "outcome", "confidence", "id"],
        "confidence",
    ),
    "ix_image_job_id_state_confidence_id": (["job_id", "state", "confidence", "id"], "confidence"),
    "ix_image_duplicate_of_id": (["duplicate_of_id"], "duplicate_of_id"),
}


def upgrade() -> None:
    """Apply. One index by hash and job stands for two, by hash and by job and hash."""
    for name, (columns, known) in _PARTIAL.items():
        there = sa.text(f"{known} IS NOT NULL")
        op.drop_index(name, "image")
        op.create_index(name, "image", columns, sqlite_where=there, postgresql_where=there)
    op.create_index("ix_image_sha256_job_id", "image", ["sha256", "job_id"])
    op.drop_index("ix_image_sha256", "image")
    op.drop_index("ix_image_job_id_sha256", "image")


def downgrade() -> None:
    """Undo."""
    op.create_index("ix_image_job_id_sha256", "image", ["job_id", "sha256"])
    op.create_index("ix_image_sha256", "image", ["sha256"])
    op.drop_index("ix_image_sha256_job_id", "image")
    for name, (columns, _) in _PARTIAL.items():
        op.drop_index(name, "image")
        op.create_index(name, "image", columns)
