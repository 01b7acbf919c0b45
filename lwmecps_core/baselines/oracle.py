"""The upper bound: a search for each episode's best plan, with everything hidden known, the users to come included.

Plans are followed in the true simulator under the episode's own seed. A search begins with the best of all rules'
trajectories and of dynamic programmes (`dynamic_programming`), and is refined window by window (`refine`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.baselines.balance import OptimizedBalance
from lwmecps_core.baselines.base import Baseline, Bools, Ints, Scene, encode, scene
from lwmecps_core.baselines.dynamic_programming import best_by_programme
from lwmecps_core.baselines.fixed import Static, Uniform
from lwmecps_core.baselines.greedy import Greedy
from lwmecps_core.baselines.hpa import GRID, Hpa
from lwmecps_core.baselines.random import RandomPolicy
from lwmecps_core.baselines.refine import refine
from lwmecps_core.baselines.replay import Replay
from lwmecps_core.envs.observation import V3, V4, version_of
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import EnvId, TaskSpec

EPISODES_AT_ONCE = 32

RULES: tuple[Callable[[Scene], Baseline], ...] = (
    Static,
    Uniform,
    OptimizedBalance,
    RandomPolicy,
    lambda s: Greedy(s, "latency"),
    lambda s: Greedy(s, "load"),
)


class Oracle:
    """Follows the best plan that it found when the episode began (v3 and v4)."""

    name = "oracle"

    def __init__(self, scene: Scene) -> None:
        if scene.version not in (V3, V4):
            reason = f"plans replicas, which {scene.spec.env_id} does not set: use lwmecps-v3 or lwmecps-v4"
            raise InvalidInput(self.name, [Violation("env_id", reason)])
        self._scene = scene
        self._plans = np.empty((0, 0, 0), np.int64)
        self._t = 0

    def reset(self, seeds: NDArray[np.uint64]) -> None:
        """See `Baseline.reset`."""
        scene = self._scene
        discrete = [replace(t, env_id=_discrete(t)) for t in scene.tasks]
        parts = [
            best_plans(discrete, scene.task_of[i : i + EPISODES_AT_ONCE], seeds[i : i + EPISODES_AT_ONCE])
            for i in range(0, len(seeds), EPISODES_AT_ONCE)
        ]
        self._plans, self._t = np.concatenate(parts), 0

    def act(self, obs: NDArray[np.float32], mask: Bools) -> NDArray[Any]:
        """See `Baseline.act`."""
        action = self._plans[:, self._t % self._plans.shape[1]]
        self._t += 1
        return encode(self._scene, action)


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


def _follow(replay: Replay, rule: Baseline, width: int) -> tuple[Ints, NDArray[np.float64]]:
    """Plans `[E, width, T, A]` and total rewards `[E, width]` of a rule that acts `width` times in every episode."""
    env, seeds = replay.env(width), np.repeat(replay.seeds, width)
    rule.reset(seeds)
    obs, mask = env.reset(seeds)
    actions, total = [], np.zeros(env.size)
    for _ in range(replay.horizon):
        actions.append(rule.act(obs, mask).astype(np.int64))
        obs, mask, reward, *_ = env.step(actions[-1])
        total += reward
    shape = (len(replay.seeds), width)
    return np.stack(actions, axis=1).reshape(*shape, replay.horizon, -1), total.reshape(shape)
