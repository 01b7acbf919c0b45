"""Our environments under Stable-Baselines3: `PlacementVecEnv` against its `DummyVecEnv` of single environments."""

from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv

from bench.cases import SEED, square_task
from bench.report import BenchRow
from bench.timing import interleave, rate
from lwmecps_core.envs.placement import LWMECPSEnv3
from lwmecps_core.integrations.sb3 import PlacementVecEnv

ENVS, STEPS = 64, 8
FLOOR = 5.0


def run() -> BenchRow:
    task = square_task(4, "lwmecps-v3")
    ours, theirs = PlacementVecEnv(task, ENVS), DummyVecEnv([lambda: LWMECPSEnv3(task)] * ENVS)
    drawn = _actions(len(task.deployments))
    measured, reference = _stepping(ours, drawn), _stepping(theirs, drawn)
    pair = interleave(lambda: rate(measured, 0.5), lambda: rate(reference, 0.5), rounds=5)
    many = PlacementVecEnv(task, 1024)
    return BenchRow(
        name="sb3_vec_env",
        value=pair.measured,
        unit="environment steps/s",
        ratio=pair.ratio,
        against="Stable-Baselines3's DummyVecEnv of as many single environments",
        floor=f">= {FLOOR:g} times",
        met=pair.ratio >= FLOOR,
        detail={
            "environments": ENVS,
            **pair.detail(),
            "1024 environments": rate(_stepping(many, _actions(len(task.deployments), 1024)), 0.5),
        },
    )


def _actions(components: int, envs: int = ENVS) -> list[Any]:
    """Few replicas, so that nodes have room."""
    rng = np.random.default_rng(SEED)
    return [rng.integers(0, 3, (envs, components)) for _ in range(8)]


def _stepping(env: Any, drawn: list[Any]) -> Callable[[], int]:
    """A function that steps all environments a few times, on and on, autoresets included."""
    env.seed(SEED)
    env.reset()
    actions = cycle(drawn)

    def work() -> int:
        for action in islice(actions, STEPS):
            env.step(action)
        return STEPS * int(env.num_envs)

    return work
