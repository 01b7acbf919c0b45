"""A point that must find its goal (Finn et al. 2017, arXiv:1703.03400, section 5.3), by MAML over our PPO."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.validation.results import RESULTS, mean_ci95, write
from lwmecps_core import algorithms, meta
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.batch import INFO_KEYS, RolloutBatch
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.play import Bools, Floats, Seeds
from lwmecps_core.rollout.policy_actor import PolicyActor
from lwmecps_core.run_config import MAMLConfig, MetaConfig, PPOConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.training.loop import Descent
from lwmecps_core.training.meta import meta_descent
from lwmecps_core.training.sampling import seeds, torch_generator
from lwmecps_core.tree import expanded

OUT = RESULTS / "validation-navigation.json"
HORIZON, LARGEST_STEP, NEAR = 100, 0.1, 0.01
SPEC = EnvSpec("point", (("global", (2,)),), (), 2, HORIZON)
ALGORITHM = PPOConfig(
    learning_rate=1e-3,
    discount_factor=0.99,
    gae_lambda=1.0,
    entropy_coef=0.0,
    hidden_size=(100, 100),
    network="mlp",
    batch_size=4000,
    n_epochs=4,
    value_function_coef=0.01,
    max_grad_norm=10.0,
)
META = MetaConfig(
    learner=MAMLConfig(multi_step_loss=0.0),
    adaptation_steps=1,
    inner_lr=0.1,
    outer_lr=2e-3,
    meta_batch_size=20,
    episodes_per_step=20,
    outer_epochs=3,
    max_grad_norm=10.0,
    num_meta_epochs=60,
)
TRAINING_GOALS, TEST_GOALS = 2000, 40
STEPS = 3

Goal = tuple[float, float]


def goals(count: int, seed: int) -> tuple[Goal, ...]:
    """Tasks: goals drawn from [-0.5, 0.5]²."""
    drawn = np.random.default_rng(seed).uniform(-0.5, 0.5, (count, 2))
    return tuple((float(x), float(y)) for x, y in drawn)


@dataclass(frozen=True)
class PointCollector:
    """A `Collector` of episodes of points that start at the origin, all tasks side by side.

    The observation is the position, a Box action in [0, 1] becomes a velocity in [-0.1, 0.1], and the reward is minus
    the distance to the goal after the step (`squared`: its square). An episode ends within 0.01 of the goal along both
    axes, or after 100 steps; what would follow the end is not valid.
    """

    squared: bool = False

    def collect(self, tasks: Sequence[Goal], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`."""
        goal = np.repeat(np.asarray(tasks, np.float32), plan.episodes, axis=0)
        env = PointEnvs(goal, plan.length or HORIZON, self.squared)
        batches, _ = drive(env, PolicyActor(snapshot, SPEC, len(tasks)), plan, again=False)
        return [replace(batch, policy_version=snapshot.version) for batch in batches]


class PointEnvs:
    """Points `[B]` that look for their goals `[B, 2]` for `length` steps (`Environments`; see `PointCollector`)."""

    spec = SPEC

    def __init__(self, goal: NDArray[np.float32], length: int, squared: bool) -> None:
        self._goal, self._length, self._squared = goal, length, squared
        self._position, self._t = np.zeros_like(goal), 0
        self._mask = np.ones((len(goal), 0), np.bool_)
        self._info = {key: np.zeros(len(goal), np.float32) for key in INFO_KEYS}

    def reset(self, seeds: Seeds) -> tuple[Floats, Bools]:
        """All points start at the origin."""
        self._position, self._t = np.zeros_like(self._goal), 0
        return self._position, self._mask

    def reset_where(self, which: Bools, seeds: Seeds) -> tuple[Floats, Bools]:
        """An episode has no successor here."""
        raise NotImplementedError

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]:
        """One step of every point."""
        self._position, self._t = moved(self._position, action), self._t + 1
        gap = self._position - self._goal
        distance = np.square(gap).sum(-1)
        reward = -(distance if self._squared else np.sqrt(distance))
        terminated = (np.abs(gap) < NEAR).all(-1)
        truncated = ~terminated & (self._t == self._length)
        return self._position, self._mask, reward, terminated, truncated, self._info


def moved(position: NDArray[np.float32], action: NDArray[np.float32]) -> NDArray[np.float32]:
    """The position after one step: 0.5 stands still, 0 and 1 are the largest velocities."""
    step: NDArray[np.float32] = LARGEST_STEP * np.clip(2 * action - 1, -1, 1)
    return position + step


def returns_by_step(
    policy: PolicyData, tasks: Sequence[Goal], cfg: MetaConfig, collector: PointCollector, seed: int
) -> list[NDArray[np.float64]]:
    """Mean return `[tasks]` before adaptation and after each of 3 inner steps, every step by 20 trajectories of the
    policy of the moment (`cfg.episodes_per_step`); measured on trajectories of their own, with the policy's noise.
    """
    algo, learner = algorithms.make(policy.algorithm, SPEC), meta.make(cfg.learner)
    origin = current = expanded(policy.params, len(tasks))
    learnt = expanded(policy.learnt, len(tasks))

    def episodes(purpose: str) -> list[RolloutBatch]:
        plan = CollectionPlan(seeds=seeds(seed, purpose, len(tasks)), episodes=cfg.episodes_per_step)
        return collector.collect(tasks, PolicySnapshot(policy.algorithm, current, {}, 0, per_task=True), plan)

    found = []
    for step in range(STEPS + 1):
        found.append(np.array([b.reward.sum(0).mean() for b in episodes(f"test-{step}")], np.float64))
        data = stacked(episodes(f"support-{step}"))
        batch = algo.prepare(current, {}, data, torch_generator(seed, f"noise-{step}"))
        current = learner.step(algo, origin, current, {}, learnt, batch)
    return found


def policies(cfg: MetaConfig, collector: PointCollector, seed: int) -> Iterator[tuple[str, int, PolicyData]]:
    """Name, iterations of training, and result: MAML, pretraining on all goals at once, random weights."""
    training, epochs = goals(TRAINING_GOALS, seed), cfg.num_meta_epochs
    algo = algorithms.make(ALGORITHM, SPEC)
    *_, last = meta_descent(algo, training, ALGORITHM, cfg, collector, seed=seed)
    learnt = last.policy
    yield "MAML over PPO", epochs, learnt
    params, extra = algo.init(torch_generator(seed, "weights"))
    random = PolicyData(ALGORITHM, SPEC, params, extra, meta.make(cfg.learner).init(algo, params, cfg.inner_lr))
    loop = Descent(algo, ALGORITHM, collector, seed, params=params, extra=extra)
    *_, last = loop.run(training, cfg.meta_batch_size, cfg.episodes_per_step, epochs, None)
    pretrained = replace(random, params=last.policy.params)
    yield "multi-task pretraining", epochs, pretrained
    yield "multi-task pretraining, MAML's inner rates", epochs, replace(pretrained, learnt=learnt.learnt)
    yield "random weights", 0, random


def run(
    cfg: MetaConfig = META,
    test_goals: int = TEST_GOALS,
    seed: int = 0,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Train and measure; one row per policy, written to `out` after each."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    collector, tasks = PointCollector(), goals(test_goals, seed + 10_000)
    for name, iterations, policy in policies(cfg, collector, seed):
        found = returns_by_step(policy, tasks, cfg, collector, seed)
        rows.append(
            {
                "name": name,
                "ours": {str(step): mean_ci95(x) for step, x in enumerate(found)},
                "published": {},
                "iterations": iterations,
                "seeds": [seed],
                "test_tasks": test_goals,
            }
        )
        say(f"{name}: " + ", ".join(f"{x.mean():.1f}" for x in found))
        write(rows, out)
    return rows
