"""Training: ours against Stable-Baselines3's PPO over our own environments, at equal settings."""

from collections.abc import Callable

from bench.peers.cells import PeerCell
from bench.peers.work import trainer
from bench.report import BenchRow
from bench.timing import interleave, rate

FLOOR = 2.0
EPISODES = 160
HORIZON = 120


def run() -> BenchRow:
    return row("train", "set", "PPO", FLOOR, "Stable-Baselines3's PPO over PlacementVecEnv")


def row(name: str, ours: str, theirs: str, floor: float, against: str) -> BenchRow:
    """How many transitions each trains on in a second of processor time: rollouts, updates, all of it."""
    measured, reference = _training(ours), _training(theirs)
    pair = interleave(lambda: rate(measured, 2.0), lambda: rate(reference, 2.0), rounds=5)
    return BenchRow(
        name=name,
        value=pair.measured,
        unit="transitions/s",
        ratio=pair.ratio,
        against=against,
        floor=f">= {floor:g} times",
        met=pair.ratio >= floor,
        detail={"episodes": EPISODES, **pair.detail()},
    )


def _training(learner: str) -> Callable[[], int]:
    train = trainer(PeerCell(learner=learner, episodes=EPISODES, rate=2e-3, width=32))

    def work() -> int:
        train()
        return EPISODES * HORIZON

    return work
