"""sessions as rows, first passwords, second factors, and guesses"""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_USER = sa.table("user", sa.column("id"), sa.column("fs_uniquifier"))


def upgrade() -> None:
    """Apply. Everybody signs in anew, and sign-in links that were good for days open nothing."""
    with _rebuilt("user", ids_used_once=True) as user:
        user.drop_constraint("uq_user_fs_uniquifier", type_="unique")
        user.drop_column("fs_uniquifier")
        user.add_column(sa.Column("first_password_until", sa.DateTime(timezone=True)))
        user.add_column(sa.Column("totp_secret", sa.String(length=255)))
        user.add_column(sa.Column("totp_step", sa.Integer()))
    with _rebuilt("token", ids_used_once=True):
        pass
    # The token of the machine's own command line is of a kind of its own, and made anew by `up`.
    op.execute("DELETE FROM token WHERE kind = 'sign_in' OR name = 'this machine'")
    op.create_table(
        "sign_in",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("how", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("browser", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name="fk_sign_in_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in"),
        sa.UniqueConstraint("digest", name="uq_sign_in_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sign_in_user_id_created_at", "sign_in", ["user_id", "created_at"])
    op.create_table(
        "recovery_code",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name="fk_recovery_code_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name="pk_recovery_code"),
    )
    op.create_index("ix_recovery_code_user_id", "recovery_code", ["user_id"])
    op.create_table(
        "guesses",
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("blocked_until", sa.Double(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_guesses"),
    )


def downgrade() -> None:
    """Undo. Second factors are lost, and first passwords are good for ever."""
    for table in ("guesses", "recovery_code", "sign_in"):
        op.drop_table(table)
    op.execute("DELETE FROM token WHERE kind NOT IN ('api', 'sign_in')")
    with _rebuilt("token", ids_used_once=False):
        pass
    op.add_column("user", sa.Column("fs_uniquifier", sa.String(length=64)))
    connection = op.get_bind()
    for (id_,) in connection.execute(sa.select(_USER.c.id)).all():
        values = {"fs_uniquifier": secrets.token_hex(32)}
        connection.execute(_USER.update().where(_USER.c.id == id_).values(values))
    with _rebuilt("user", ids_used_once=False) as user:
        for column in ("totp_step", "totp_secret", "first_password_until"):
            user.drop_column(column)
        user.alter_column("fs_uniquifier", existing_type=sa.String(length=64), nullable=False)
        user.create_unique_constraint("uq_user_fs_uniquifier", ["fs_uniquifier"])


def _rebuilt(table: str, *, ids_used_once: bool) -> AbstractContextManager[BatchOperations]:
    """Change a table; SQLite builds it anew, and then keeps from giving an id a second time if so
    wanted. PostgreSQL never does."""
    options: dict[str, Any] = {"recreate": "never"}
    if op.get_bind().dialect.name == "sqlite":
        kept = {"sqlite_autoincrement": ids_used_once}
        options = {"recreate": "always", "table_kwargs": kept}
    return op.batch_alter_table(table, **options)
