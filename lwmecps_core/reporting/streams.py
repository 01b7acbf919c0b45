"""What a stream of clusters has left, as a table: the matrix R of `lwmecps_core.forgetting`, and its measures."""

from collections.abc import Sequence

from lwmecps_core.forgetting import matrix, measures
from lwmecps_core.reporting.texts import Lines
from lwmecps_core.results import Row

STREAM = "continual"
"""The kind of runs whose rows are a matrix."""
MOST_COLUMNS = 12
"""Clusters that have a column each; of longer streams only the measures are shown."""
MEASURES = {
    "average_reward": "average",
    "learnt_reward": "own turn",
    "coming_reward": "to come",
    "backward_transfer": "backward",
    "forgetting": "forgetting",
    "forward_transfer": "forward",
}
"""By name: what its column is called."""
MEANING = (
    "Reward of an episode on each cluster after so many were met, in brackets before it was; average of those met; "
    "mean right after their own turns; mean of those to come; backward transfer, forgetting, forward transfer"
)


def stream_table(rows: Sequence[Row]) -> tuple[tuple[str, ...], Lines]:
    """Header and lines of the table of one run's rows; clusters are numbered in the order of the stream."""
    tasks, r = matrix(rows)
    shown = range(len(tasks) if len(tasks) <= MOST_COLUMNS else 0)
    lines = []
    for met, rewards in enumerate(r):
        own = [f"{rewards[j]:.2f}" if j < met else f"({rewards[j]:.2f})" for j in shown]
        found = measures(r, met)
        lines.append((str(met), *own, *(f"{found[name]:.2f}" if name in found else "" for name in MEASURES)))
    return ("met", *(str(j + 1) for j in shown), *MEASURES.values()), lines


def clusters_of(rows: Sequence[Row]) -> str:
    """Which cluster has which number; empty where none is shown."""
    tasks, _ = matrix(rows)
    return ", ".join(f"{i} {name}" for i, name in enumerate(tasks, start=1)) if len(tasks) <= MOST_COLUMNS else ""
