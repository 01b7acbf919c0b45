"""Runs say what they wait for."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply; a run that waits says so again within a second."""
    op.add_column("runs", sa.Column("waiting_for", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Take back."""
    # In place: to copy the table and drop it would, on SQLite, take along all that runs have reported.
    op.drop_column("runs", "waiting_for")
