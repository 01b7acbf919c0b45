"""The upper bound: a search for each episode's best plan, with everything hidden known, the users to come included.

Plans are followed in the true simulator under the episode's own seed. A search begins with the best of all rules'
trajectories and of dynamic programmes (`dynamic_programming`), and is refined window by window (`refine`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.baselines.balance import OptimizedBalance
from lwmecps_core.baselines.dynamic_programming import best_by_programme
from lwmecps_core.baselines.fixed import Static, Uniform
from lwmecps_core.baselines.greedy import Greedy
from lwmecps_core.baselines.hpa import GRID, Hpa
from lwmecps_core.baselines.random import RandomPolicy
from lwmecps_core.baselines.refine import refine
from lwmecps_core.baselines.replay import Replay
from lwmecps_core.baselines.rule import Rule
from lwmecps_core.envs.observation import V3, V4, version_of
from lwmecps_core.envs.scene import Ints, Scene, encode, scene
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.actor import AnyArray, Memory
from lwmecps_core.rollout.play import play
from lwmecps_core.specs import EnvId, TaskSpec

EPISODES_AT_ONCE = 32

RULES: tuple[Callable[[Scene], Rule], ...] = (
    Static,
    Uniform,
    OptimizedBalance,
    RandomPolicy,
    lambda s: Greedy(s, "latency"),
    lambda s: Greedy(s, "load"),
)


class Oracle(Rule):
    """Follows the best plan that it found when the episode began (v3 and v4).

    Remembers `plans` `[B, T, A]` and `t` `[B]`, how many intervals have passed.
    """

    name = "oracle"

    def __init__(self, scene: Scene) -> None:
        if scene.version not in (V3, V4):
            reason = f"plans replicas, which {scene.spec.env_id} does not set: use lwmecps-v3 or lwmecps-v4"
            raise InvalidInput(self.name, [Violation("env_id", reason)])
        self._scene = scene

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """Search each episode's plan."""
        scene = self._scene
        discrete = [replace(t, env_id=_discrete(t)) for t in scene.tasks]
        parts = [
            best_plans(discrete, scene.task_of[i : i + EPISODES_AT_ONCE], seeds[i : i + EPISODES_AT_ONCE])
            for i in range(0, len(seeds), EPISODES_AT_ONCE)
        ]
        return {"plans": np.concatenate(parts), "t": np.zeros(len(seeds), np.int64)}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        plans, t = memory["plans"], memory["t"]
        action = plans[np.arange(len(t)), t % plans.shape[1]]
        return Acted(encode(self._scene, action), {}, {"plans": plans, "t": t + 1})


def _discrete(task: TaskSpec) -> EnvId:
    return "lwmecps-v3" if version_of(task.env_id) == V3 else "lwmecps-v4"


def best_plans(tasks: Sequence[TaskSpec], task_of: Ints, seeds: NDArray[np.uint64]) -> Ints:
    """The best plan found for every episode: `[E, T, A]`."""
    replay = Replay(tuple(tasks), task_of, seeds)
    candidates, totals = followed(replay)
    planned = best_by_programme(replay)
    candidates = np.concatenate([candidates, planned], axis=1)
    totals = np.concatenate([totals, replay.rewards(planned).sum(-1)], axis=1)
    best = totals.argmax(1)
    return refine(replay, candidates[np.arange(len(best)), best])


def followed(replay: Replay) -> tuple[Ints, NDArray[np.float64]]:
    """What every rule did: plans `[E, P, T, A]` and their total rewards `[E, P]`; the autoscaler in all of `GRID`."""
    autoscaler = Hpa(scene(replay.tasks, replay.env(len(GRID)).task_of), list(GRID) * len(replay.seeds))
    once = scene(replay.tasks, replay.env(1).task_of)
    runs = [_follow(replay, autoscaler, len(GRID)), *(_follow(replay, rule(once), 1) for rule in RULES)]
    return np.concatenate([plans for plans, _ in runs], axis=1), np.concatenate([total for _, total in runs], axis=1)


def _follow(replay: Replay, rule: Rule, width: int) -> tuple[Ints, NDArray[np.float64]]:
    """Plans `[E, width, T, A]` and total rewards `[E, width]` of a rule that acts `width` times in every episode."""
    env, seeds = replay.env(width), np.repeat(replay.seeds, width)
    actions, total = [], np.zeros(env.size)
    for interval in play(env, rule, rule.begin(seeds), env.reset(seeds), repeat(None, replay.horizon)):
        actions.append(interval.acted.action.astype(np.int64))
        total += interval.reward
    shape = (len(replay.seeds), width)
    return np.stack(actions, axis=1).reshape(*shape, replay.horizon, -1), total.reshape(shape)
