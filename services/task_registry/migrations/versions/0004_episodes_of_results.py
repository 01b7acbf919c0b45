"""Result rows say which episode on the cluster they measure."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.String(255)
COLUMNS = "run_id, task, method, inner_steps, position, figures, revision"


def upgrade() -> None:
    """Apply; every row that there is measured a first episode, as far as anybody knows."""
    _replace(f"{COLUMNS}, episode", f"{COLUMNS}, 1", sa.Column("episode", sa.BigInteger, primary_key=True))


def downgrade() -> None:
    """Take back; of a method's episodes on a task the first is kept."""
    first = (
        "episode = (SELECT MIN(o.episode) FROM result_rows o WHERE o.run_id = result_rows.run_id "
        "AND o.task = result_rows.task AND o.method = result_rows.method AND o.inner_steps = result_rows.inner_steps)"
    )
    _replace(COLUMNS, COLUMNS, where=f"WHERE {first}")


def _replace(columns: str, values: str, *more: sa.Column[int], where: str = "") -> None:
    """Another table with another primary key: SQLite can't change one."""
    op.create_table(
        "new_result_rows",
        sa.Column("run_id", TEXT, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("task", TEXT, primary_key=True),
        sa.Column("method", TEXT, primary_key=True),
        sa.Column("inner_steps", sa.BigInteger, primary_key=True),
        *more,
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.execute(f"INSERT INTO new_result_rows ({columns}) SELECT {values} FROM result_rows {where}")
    op.drop_table("result_rows")
    op.rename_table("new_result_rows", "result_rows")
    op.create_index("result_rows_by_revision", "result_rows", ["run_id", "revision"])
