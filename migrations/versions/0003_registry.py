"""which model is in use, and which one judges a job"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_EMPTY = {"state": "'candidate'", "scores": "'{}'", "facts": "'{}'"}
_ONE_ACTIVE = sa.text("state = 'active'")

# The one a worker used last; where none is on the list any more, the one that spoke last; where
# none ever spoke, the newest.
_LAST_USED = """
    SELECT digest FROM model
    ORDER BY
        (SELECT max(seen_at) FROM worker WHERE model_digest = digest) IS NULL,
        (SELECT max(seen_at) FROM worker WHERE model_digest = digest) DESC,
        digest != coalesce(
            (SELECT model_digest FROM prediction ORDER BY image_id DESC LIMIT 1), ''
        ),
        first_used_at DESC
    LIMIT 1
"""
# A job that is still at work is left to be pinned by the next worker: it may have to run under
# another model, since of those of before only the results are known.
_PIN_WHAT_HAS_ENDED = """
    UPDATE job SET model_digest = (
        SELECT image.model_digest FROM image
        WHERE image.job_id = job.id AND image.model_digest IS NOT NULL
        ORDER BY image.position DESC LIMIT 1
    )
    WHERE state IN ('finished', 'failed', 'cancelled')
"""


def upgrade() -> None:
    """Apply. Models of before are candidates without a bundle, the one last used is active."""
    _extend_model()
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("model_digest", sa.String(length=64), nullable=True))
        job.create_foreign_key("fk_job_model_digest", "model", ["model_digest"], ["digest"])
    op.execute(_PIN_WHAT_HAS_ENDED)
    with op.batch_alter_table("worker") as worker:
        worker.add_column(sa.Column("models", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("worker") as worker:
        worker.alter_column("models", existing_type=sa.JSON(), server_default=None)
    with op.batch_alter_table("prediction") as prediction:
        prediction.create_index("ix_prediction_model_digest", ["model_digest"])


def _extend_model() -> None:
    types: dict[str, TypeEngine[Any]] = {
        "state": sa.String(length=16),
        "scores": sa.JSON(),
        "facts": sa.JSON(),
    }
    with op.batch_alter_table("model") as model:
        for name, empty in _EMPTY.items():
            model.add_column(
                sa.Column(name, types[name], nullable=False, server_default=sa.text(empty))
            )
        for name in ("added_at", "activated_at"):
            model.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("model") as model:
        for name in _EMPTY:
            model.alter_column(name, existing_type=types[name], server_default=None)
    op.execute(
        "UPDATE model SET state = 'active', activated_at = first_used_at "
        f"WHERE digest = ({_LAST_USED})"
    )
    op.create_index(
        "uq_model_active",
        "model",
        ["state"],
        unique=True,
        sqlite_where=_ONE_ACTIVE,
        postgresql_where=_ONE_ACTIVE,
    )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("prediction") as prediction:
        prediction.drop_index("ix_prediction_model_digest")
    with op.batch_alter_table("worker") as worker:
        worker.drop_column("models")
    with op.batch_alter_table("job") as job:
        job.drop_constraint("fk_job_model_digest", type_="foreignkey")
        job.drop_column("model_digest")
    op.drop_index("uq_model_active", "model")
    with op.batch_alter_table("model") as model:
        for name in ("activated_at", "added_at", *_EMPTY):
            model.drop_column(name)
