"""jobs, their pictures and people can be deleted, and what each person keeps is counted"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_JOB_TIMES = (
    "deleted_at",
    "purge_at",
    "purged_at",
    "restored_at",
    "pictures_until",
    "pictures_gone_at",
)
# Index of jobs → its columns, and the rows it holds.
_INDEXES = {
    "ix_job_owner_id_bytes": (["owner_id", "bytes"], None),
    "ix_job_purge_at": (["purge_at"], "purge_at IS NOT NULL"),
    "ix_job_pictures_until": (["pictures_until"], "pictures_until IS NOT NULL"),
    "ix_job_finished_at_restored_at": (["finished_at", "restored_at"], "deleted_at IS NULL"),
    "ix_job_finished_at_pictures_until": (
        ["finished_at", "pictures_until"],
        "pictures_gone_at IS NULL",
    ),
}
_INDEXES_OF = sa.text(
    "SELECT name, sql FROM sqlite_master "
    "WHERE type = 'index' AND tbl_name = :table AND sql IS NOT NULL ORDER BY rowid"
)
# Rows of these are deleted, and their numbers must never be given again.
_NUMBERED = ("image", "report", "explanation")
# Equal bytes count once for each owner, for the job that was the first to hold them.
_COUNT = """
    UPDATE job SET bytes = total.bytes FROM (
        SELECT kept.job_id AS job_id, SUM(kept.size) AS bytes FROM (
            SELECT MIN(image.job_id) AS job_id, MIN(image.size) AS size
            FROM image JOIN job AS holder ON holder.id = image.job_id
            WHERE image.format IS NOT NULL
            GROUP BY image.sha256, holder.owner_id
        ) AS kept GROUP BY kept.job_id
    ) AS total WHERE total.job_id = job.id
"""


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("bytes", sa.BigInteger(), nullable=False, server_default="0"))
        for name in _JOB_TIMES:
            job.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name, (columns, rows) in _INDEXES.items():
        where = None if rows is None else sa.text(rows)
        op.create_index(name, "job", columns, sqlite_where=where, postgresql_where=where)
    with op.batch_alter_table("user") as user:
        user.add_column(sa.Column("erase_at", sa.DateTime(timezone=True), nullable=True))
        user.add_column(sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
        user.add_column(sa.Column("heir_id", sa.Integer(), nullable=True))
        user.create_foreign_key("fk_user_heir_id", "user", ["heir_id"], ["id"])
    op.create_table(
        "loose_blob",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_loose_blob"),
    )
    _number(again=False)
    op.execute(_COUNT)


def downgrade() -> None:
    """Undo. What was deleted and waits for its grace to end is a job like any other again."""
    _number(again=True)
    op.drop_table("loose_blob")
    with op.batch_alter_table("user") as user:
        user.drop_constraint("fk_user_heir_id", type_="foreignkey")
        for name in ("heir_id", "erased_at", "erase_at"):
            user.drop_column(name)
    for name in _INDEXES:
        op.drop_index(name, "job")
    with op.batch_alter_table("job") as job:
        for name in (*_JOB_TIMES, "bytes"):
            job.drop_column(name)


def _number(*, again: bool) -> None:
    """Let SQLite give numbers again or not, for which it has to rebuild the table."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for name in _NUMBERED:
        indexes = op.get_bind().execute(_INDEXES_OF, {"table": name}).all()
        # The copy has every constraint and index of the table as it stands.
        with op.batch_alter_table(
            name, recreate="always", table_kwargs={"sqlite_autoincrement": not again}
        ):
            pass
        # SQLite takes the older of two indexes that serve alike, so they keep their order.
        for index, statement in indexes:
            op.execute(f"DROP INDEX {index}")
            op.execute(statement)
