"""64 environments as Gymnasium's `VectorEnv`, against the batch that it wraps."""

from bench.gym_single import of_both, stepped
from bench.report import BenchRow
from bench.simulator import ROUND_S, actions, episode
from bench.timing import Paired, interleave, rate
from lwmecps_core.envs.batched import PlacementVectorEnv
from lwmecps_core.specs import TaskSpec

ENVS = 64
FLOOR = 0.9


def run() -> BenchRow:
    return of_both("vec_env", _measure, f"the same episodes in the batch of {ENVS} that it wraps", FLOOR)


def _measure(task: TaskSpec) -> Paired:
    env = PlacementVectorEnv(ENVS, [task], task.env_id)
    wrapped, batch = stepped(env, task, actions(task, ENVS), ENVS), episode(task, ENVS)
    return interleave(lambda: rate(wrapped, ROUND_S), lambda: rate(batch, ROUND_S), rounds=9)
