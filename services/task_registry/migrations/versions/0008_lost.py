"""Runs count the learners that vanish with them in a row."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply; runs of before begin to count."""
    op.add_column("runs", sa.Column("lost", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Take back."""
    op.drop_column("runs", "lost")  # in place: see 0006
