"""Runs know the trace of the call that created them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Apply; runs of before have none."""
    op.add_column("runs", sa.Column("traceparent", sa.String, nullable=False, server_default=""))


def downgrade() -> None:
    """Take back."""
    op.drop_column("runs", "traceparent")  # in place: see 0006
