"""Policy acting + simulator on one core, as a collection worker runs them."""

from collections.abc import Callable
from itertools import count

from bench import simulator
from bench.cases import square_task
from bench.policies import snapshot, v3
from bench.report import BenchRow
from bench.timing import interleave, rate
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.unroll import unroll
from lwmecps_core.specs import TaskSpec

TASKS, EPISODES = 8, 128
FLOOR = 100_000


def run() -> BenchRow:
    task = v3()
    worker, alone = collection(task), simulator.episode(task, TASKS * EPISODES)
    pair = interleave(lambda: rate(worker, 1.0), lambda: rate(alone, simulator.ROUND_S), rounds=7, warm_up=1)
    others = {
        f"{env_id}, {network}": rate(collection(square_task(4, env_id), network), 1.0)
        for env_id, network in (("lwmecps-v3", "mlp"), ("lwmecps-v4", "set"), ("lwmecps-v4", "mlp"))
    }
    return BenchRow(
        name="worker",
        value=pair.measured,
        unit="transitions/s",
        ratio=pair.ratio,
        against="the simulator without a policy",
        floor=f">= {FLOOR:,} transitions/s",
        met=pair.measured >= FLOOR,
        detail={"tasks": TASKS, "episodes": EPISODES, **pair.detail(), "other_settings": others},
    )


def collection(task: TaskSpec, network: str = "set", context: str = "none", cell: str = "gru") -> Callable[[], int]:
    """A function that does one collection request's work."""
    policy = snapshot(task, network, context, cell)
    seeds = count()

    def run() -> int:
        plan = CollectionPlan(seeds=tuple(next(seeds) for _ in range(TASKS)), episodes=EPISODES)
        return sum(batch.reward.size for batch in unroll([task] * TASKS, policy, plan))

    return run
