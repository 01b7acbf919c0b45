"""Policies, checkpoints, and the results of runs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

INSTANT = sa.DateTime(timezone=True)
SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TEXT = sa.String(255)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "policies",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=True),
        sa.Column("id", TEXT, nullable=False, unique=True),
        sa.Column("name", TEXT, nullable=False, index=True),
        sa.Column("run_id", TEXT, nullable=False, index=True),
        sa.Column("algorithm", sa.JSON, nullable=False),
        sa.Column("env_spec", sa.JSON, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("etag", TEXT, nullable=False),
        sa.Column("artefact_key", TEXT),
        sa.Column("artefact_size_bytes", sa.BigInteger),
        sa.Column("artefact_sha256", TEXT),
    )
    op.create_table(
        "checkpoints",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=True),
        sa.Column("id", TEXT, nullable=False, unique=True),
        sa.Column("run_id", TEXT, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("artefact_key", TEXT, nullable=False),
        sa.Column("artefact_size_bytes", sa.BigInteger, nullable=False),
        sa.Column("artefact_sha256", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
    )
    op.create_table(
        "result_rows",
        sa.Column("run_id", TEXT, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("task", TEXT, primary_key=True),
        sa.Column("method", TEXT, primary_key=True),
        sa.Column("inner_steps", sa.BigInteger, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Index("result_rows_by_revision", "run_id", "revision"),
    )
    op.create_table(
        "traces",
        sa.Column("run_id", TEXT, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("step", sa.BigInteger, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("values", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Take back."""
    for table in ("traces", "result_rows", "checkpoints", "policies"):
        op.drop_table(table)
