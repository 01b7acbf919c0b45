"""Tasks, runs and their metrics."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

INSTANT = sa.DateTime(timezone=True)
SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TEXT = sa.String(255)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "tasks",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=True),
        sa.Column("id", TEXT, nullable=False, unique=True),
        sa.Column("name", TEXT, nullable=False, index=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("family", TEXT, nullable=False, index=True),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("etag", TEXT, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=True),
        sa.Column("id", TEXT, nullable=False, unique=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("etag", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False, index=True),
        sa.Column("desired_state", TEXT, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("total_steps", sa.BigInteger, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("lease_expires_at", INSTANT),
        sa.Column("started_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("result_policy_id", TEXT, nullable=False),
        sa.Column("wandb_run_id", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("latest_metrics", sa.JSON, nullable=False),
    )
    op.create_table(
        "run_tasks",
        sa.Column("run_id", TEXT, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("task_id", TEXT, primary_key=True, index=True),
    )
    op.create_table(
        "metrics",
        sa.Column("run_id", TEXT, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("step", sa.BigInteger, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("value", sa.Double),
        sa.Column("time", INSTANT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Index("metrics_by_revision", "run_id", "revision"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", TEXT, primary_key=True),
        sa.Column("request_id", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("resource_id", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
    )


def downgrade() -> None:
    """Take back."""
    for table in ("idempotency_keys", "metrics", "run_tasks", "runs", "tasks"):
        op.drop_table(table)
