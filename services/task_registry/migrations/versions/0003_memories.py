"""What policies remember of clusters."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

INSTANT = sa.DateTime(timezone=True)
SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TEXT = sa.String(255)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "memories",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=True),
        sa.Column("task_id", TEXT, sa.ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("etag", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.UniqueConstraint("task_id", "name", name="memories_by_name"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("memories")
