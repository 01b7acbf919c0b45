"""Training a policy with a recurrence: ours against sb3-contrib's RecurrentPPO over our own environments."""

from bench.report import BenchRow
from bench.train import row

FLOOR = 4.0


def run() -> BenchRow:
    return row("train_recurrent", "recurrent", "RecurrentPPO", FLOOR, "sb3-contrib's RecurrentPPO over PlacementVecEnv")
