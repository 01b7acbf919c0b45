"""What a cell finds: the speed of its training, and what was learnt on other tasks."""

import time
from collections.abc import Callable

from bench.peers.cells import PROBLEM, THEIRS, TUNING_SEED, PeerCell, settings
from lwmecps_core.config import config


@config
class PeerOutcome:
    """Every task's reward, the training's transitions and its CPU time, and the commit that it was done at."""

    rewards: tuple[float, ...]
    transitions: int
    training_cpu_s: float
    commit: str = ""

    @property
    def mean(self) -> float:
        """Reward over tasks."""
        return sum(self.rewards) / len(self.rewards)


def run(cell: PeerCell) -> PeerOutcome:
    """Train, and act without chance on tasks of other seeds."""
    from bench.context.cells import EVALUATION_SEED, HELD_OUT_SEED
    from bench.context.measure import COLLECTOR, distribution
    from lwmecps_core.run_config import EvaluateConfig
    from lwmecps_core.tasks.families import draw
    from lwmecps_core.training import evaluate

    first = TUNING_SEED if cell.tuning else HELD_OUT_SEED
    tasks = tuple(draw(distribution(PROBLEM), first + i) for i in range(cell.tasks))
    train = trainer(cell)
    begun = time.process_time()
    policy = train()
    cpu_s = time.process_time() - begun
    *_, last = evaluate(policy, tasks, EvaluateConfig(episodes=4), COLLECTOR, seed=EVALUATION_SEED)
    rewards = tuple(round(row.reward, 3) for row in last.rows)
    return PeerOutcome(rewards=rewards, transitions=cell.episodes * tasks[0].horizon, training_cpu_s=cpu_s)


def trainer(cell: PeerCell) -> Callable[[], object]:
    """A function that does the cell's training and returns a policy of ours."""
    if cell.learner in THEIRS:
        from bench.peers import theirs

        return theirs.trainer(cell, PROBLEM)
    from bench.context.measure import COLLECTOR, distribution
    from lwmecps_core.training import train

    algorithm, cfg = settings(cell.learner, cell.episodes)

    def ours() -> object:
        *_, last = train(distribution(PROBLEM), algorithm, cfg, COLLECTOR, seed=cell.seed)
        return last.policy

    return ours
