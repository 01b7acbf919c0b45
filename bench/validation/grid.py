"""A grid with a hidden goal (Zintgraf et al. 2020, arXiv:1910.08348, section 5.1), by beliefs and by RL²."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.validation.results import RESULTS, mean_ci95, write
from lwmecps_core import algorithms
from lwmecps_core.batch import INFO_KEYS, RolloutBatch
from lwmecps_core.optimiser import scheduled
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.play import Bools, Floats, Seeds
from lwmecps_core.rollout.policy_actor import PolicyActor
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.training.loop import Descent
from lwmecps_core.training.sampling import seeds, torch_generator

OUT = RESULTS / "validation-grid.json"
SIDE, HORIZON, EPISODES = 5, 15, 4
LENGTH = EPISODES * HORIZON + EPISODES - 1
"""An interval between two episodes carries the reset."""
MOVES = np.array([(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)])
FOUND, STEP = 1.0, -0.1
SPEC = EnvSpec("grid", (("global", (SIDE * SIDE,)),), (len(MOVES),), 1, HORIZON)
PLAIN = PPOConfig(
    learning_rate=2e-3,
    discount_factor=0.95,
    gae_lambda=0.95,
    entropy_coef=0.05,
    n_epochs=4,
    hidden_size=(64, 32),
    network="mlp",
    batch_size=4 * LENGTH * 8,
    n_steps=LENGTH,
)
METHODS: Mapping[str, PPOConfig] = {
    "belief (VariBAD)": replace(
        PLAIN,
        context="belief",
        belief_kl_weight=0.05,
        belief_intervals=LENGTH,
        belief_updates=16,
        belief_batch_size=32,
        belief_memory_size=2048,
    ),
    "recurrent (RL²)": replace(PLAIN, context="recurrent"),
    "no memory": PLAIN,
}
SEEDS, STEPS, TASKS, EACH = (10, 11, 12), 600, 16, 8
"""Settings were found with seeds 0 and 1."""

Goal = tuple[int, int]
GOALS: tuple[Goal, ...] = tuple(g for g in product(range(SIDE), repeat=2) if max(g) > 1)
"""Not where the agent starts, nor next to it."""


@dataclass(frozen=True)
class GridCollector:
    """A `Collector` of rollouts of four episodes in a row on each goal's grid, all side by side."""

    def collect(self, tasks: Sequence[Goal], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`."""
        env = GridEnvs(np.repeat(np.asarray(tasks), plan.episodes, axis=0))
        batches, memory = drive(env, PolicyActor(snapshot, SPEC, len(tasks)), plan)
        e = plan.episodes
        return [
            replace(b, policy_version=snapshot.version, memory={n: x[i * e : (i + 1) * e] for n, x in memory.items()})
            for i, b in enumerate(batches)
        ]


class GridEnvs:
    """Agents `[B]` that look for their goals `[B, 2]` from one corner (`Environments`); they see where they are."""

    spec = SPEC

    def __init__(self, goal: NDArray[np.int64]) -> None:
        self._goal = goal
        self._at, self._t = np.zeros_like(goal), np.zeros(len(goal), np.int64)
        self._mask = np.ones((len(goal), len(MOVES)), np.bool_)

    def reset(self, seeds: Seeds) -> tuple[Floats, Bools]:
        """All start in the corner."""
        return self.reset_where(np.ones(len(self._goal), np.bool_), seeds)

    def reset_where(self, which: Bools, seeds: Seeds) -> tuple[Floats, Bools]:
        """Back to the corner; the goal stays."""
        self._at[which], self._t[which] = 0, 0
        return self._seen(), self._mask

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]:
        """One move of every agent, against a wall none."""
        self._at = np.clip(self._at + MOVES[action[:, 0]], 0, SIDE - 1)
        self._t = self._t + 1
        reward = np.where((self._at == self._goal).all(1), FOUND, STEP).astype(np.float32)
        info = {key: np.zeros(len(reward), np.float32) for key in INFO_KEYS} | {"reward_latency": reward}
        return self._seen(), self._mask, reward, np.zeros(len(reward), np.bool_), self._t == HORIZON, info

    def _seen(self) -> Floats:
        shown: Floats = np.eye(SIDE * SIDE, dtype=np.float32)[self._at[:, 0] * SIDE + self._at[:, 1]]
        return shown


def returns(rewards: NDArray[np.floating[Any]], valid: Bools) -> NDArray[np.float64]:
    """Of each episode of rollouts `[LENGTH, B]`: `[EPISODES, B]`."""
    starts = [i * (HORIZON + 1) for i in range(EPISODES)]
    return np.stack([(rewards * valid)[s : s + HORIZON].sum(0) for s in starts]).astype(np.float64)


def told() -> NDArray[np.float64]:
    """What who is told the goal earns in an episode, for each of `GOALS`."""
    steps = np.array([sum(goal) for goal in GOALS])
    return (steps - 1) * STEP + (HORIZON - steps + 1) * FOUND


def trained(cfg: PPOConfig, seed: int, steps: int) -> Iterator[PolicyData]:
    """The policy after each step of training."""
    algo = algorithms.make(cfg, SPEC)
    params, extra = algo.init(torch_generator(seed, "weights"))
    share = partial(scheduled, "linear", 0.5, total=steps)
    loop = Descent(algo, cfg, GridCollector(), seed, params=params, extra=extra, rate_share=share)
    for progress in loop.run(GOALS, TASKS, EACH, steps, None):
        assert progress.policy is not None
        yield progress.policy


def measured(policy: PolicyData) -> NDArray[np.float64]:
    """Returns `[EPISODES, goals]` without chance, from nothing known on."""
    plan = CollectionPlan(seeds=seeds(0, "evaluation", len(GOALS)), episodes=1, length=LENGTH, greedy=True)
    batches = GridCollector().collect(GOALS, PolicySnapshot(policy.algorithm, policy.params, policy.extra, 0), plan)
    found = [returns(b.reward, b.valid.astype(np.bool_)) for b in batches]
    return np.concatenate(found, 1)


def run(
    methods: Mapping[str, PPOConfig] = METHODS,
    training_seeds: Sequence[int] = SEEDS,
    steps: int = STEPS,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Train and measure; one row per method, written to `out` after each."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name, cfg in methods.items():
        by_seed = []
        for seed in training_seeds:
            *_, policy = trained(cfg, seed, steps)
            by_seed.append(measured(policy))
            say(f"{name}, seed {seed}: " + ", ".join(f"{x.mean():.2f}" for x in by_seed[-1]))
        rows.append(_row(name, np.mean(by_seed, 0), [x.mean(1) for x in by_seed], steps, list(training_seeds)))
        write(rows, out)
    rows.append(_row("told the goal", np.stack([told()] * EPISODES), [], 0, []))
    write(rows, out)
    return rows


def _row(
    name: str, found: NDArray[np.float64], by_seed: Sequence[NDArray[np.float64]], steps: int, of: list[int]
) -> dict[str, Any]:
    frames = steps * TASKS * EACH * LENGTH
    episodes = {
        str(i + 1): mean_ci95(x) | {"seeds": [round(float(s[i]), 2) for s in by_seed]} for i, x in enumerate(found)
    }
    return {"name": name, "episodes": episodes, "frames": frames, "seeds": of}
