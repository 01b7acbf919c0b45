"""Catch by the published update rule (Disco103): policies that learn by nothing else shall catch every ball.

A ball falls from a random column of an 8 × 8 board, the paddle below moves left, right or not, and the last row says
1 or −1. The rule's weights are its authors' and no part of this project: `LWMECPS_DISCO_RULE` names their file, and
without it the part is skipped. Beside it PPO, on as many steps, to say what the board asks for; its settings are those
of CartPole's validation. The rule's agent has the settings of its authors' own notebook on Catch (rate, networks,
replay, no bound on the gradient's norm). Nothing was tuned here.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from bench.validation.gym_collector import GymCollector, GymTask, greedy, returns
from bench.validation.results import RESULTS, mean_ci95, write
from lwmecps_core import algorithms
from lwmecps_core.discovered import without_file
from lwmecps_core.run_config import AlgorithmConfig, DiscoConfig, PPOConfig
from lwmecps_core.training.loop import Descent
from lwmecps_core.training.sampling import seeds, torch_generator

OUT = RESULTS / "validation-catch.json"
FILE = "LWMECPS_DISCO_RULE"
SIDE = 8
SEEDS, STEPS, EPISODES = (0, 1, 2), 29, 64
ENVS: Mapping[str, int] = {"disco": 2, "ppo": 8}
"""That step side by side between updates, `STEPS` at a time."""
WARM_UP: Mapping[str, int] = {"disco": 32 * STEPS, "ppo": 0}
"""Steps of each before the first update, drawn alike: the rule's agent first learns when memory holds a minibatch."""
AT = (0, 11_600, 23_200, 58_000)
"""Steps of the environment after which returns are measured; those that fill a memory first don't count."""
TASK = GymTask("lwmecps-bench/Catch-v0")
PPO = PPOConfig(
    n_steps=STEPS,
    n_epochs=5,
    batch_size=8 * STEPS,
    gae_lambda=0.8,
    discount_factor=0.98,
    learning_rate=1e-3,
    hidden_size=(64, 64),
    network="mlp",
)


class Catch(gymnasium.Env[NDArray[np.float32], int]):
    """The board, flat: one where the ball is, one where the paddle is."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (SIDE * SIDE,), np.float32)
        self.action_space = spaces.Discrete(3)
        self._row = self._ball = self._paddle = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """A new ball in the first row, the paddle in the middle."""
        super().reset(seed=seed)
        self._row, self._ball, self._paddle = 0, int(self.np_random.integers(SIDE)), SIDE // 2
        return self._board(), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """The paddle moves, the ball falls by a row."""
        self._paddle = int(np.clip(self._paddle + int(action) - 1, 0, SIDE - 1))
        self._row += 1
        over = self._row == SIDE - 1
        caught = 1.0 if self._ball == self._paddle else -1.0
        return self._board(), caught * over, over, False, {}

    def _board(self) -> NDArray[np.float32]:
        board = np.zeros((SIDE, SIDE), np.float32)
        board[self._row, self._ball] = board[SIDE - 1, self._paddle] = 1.0
        return board.reshape(-1)


gymnasium.register(TASK.env_id, Catch, max_episode_steps=SIDE)


def by_rule(rule: bytes) -> DiscoConfig:
    """How policies learn by the rule: an update on 64 segments for every two new ones."""
    return DiscoConfig(
        rule=rule,
        learning_rate=1e-2,
        segment=STEPS,
        n_steps=STEPS,
        batch_size=64 * STEPS,
        updates_per_batch=1,
        memory_size=1_024 * STEPS,
        hidden_size=(512, 512),
        model_size=128,
        network="mlp",
        max_grad_norm=1e6,
    )


def learnt(algorithm: AlgorithmConfig, seed: int, at: tuple[int, ...] = AT) -> dict[int, float]:
    """Mean return of greedy episodes after so many steps."""
    algo, algorithm = algorithms.from_nothing(algorithm, TASK.spec()), without_file(algorithm)
    params, extra = algo.init(torch_generator(seed, "weights"))
    collector = GymCollector(TASK, STEPS, WARM_UP[algorithm.name])
    loop = Descent(algo, algorithm, collector, seed, params=params, extra=extra)
    fresh = seeds(seed, "evaluation", 1)[0] % 2**31

    def measured(step: int) -> float:
        return float(returns(TASK, greedy(TASK, loop.snapshot(step)), EPISODES, fresh).mean())

    found, each = {0: measured(0)}, STEPS * ENVS[algorithm.name]
    for progress in loop.run((TASK,), 1, ENVS[algorithm.name], at[-1] // each, None):  # type: ignore[arg-type]
        if progress.step * each in at:
            found[progress.step * each] = measured(progress.step)
    return found


def run(
    run_seeds: tuple[int, ...] = SEEDS,
    at: tuple[int, ...] = AT,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """One row for each way of learning, written to `out`; none, and nothing written, without the rule's file."""
    named = os.environ.get(FILE)
    if not named:
        say(f"catch: skipped: no weights; {FILE} names no file with the published rule")
        return []
    methods: Mapping[str, AlgorithmConfig] = {"Disco103": by_rule(Path(named).read_bytes()), "PPO": PPO}
    rows = []
    for name, algorithm in methods.items():
        curves = []
        for seed in run_seeds:
            curves.append(learnt(algorithm, seed, at))
            say(f"catch {name} seed {seed}: {curves[-1]}")
        of_steps = {step: np.array([curve[step] for curve in curves]) for step in at}
        found = {f"{step:,}": _spread(values) for step, values in of_steps.items()}
        rows.append({"name": name, "returns": found, "seeds": list(run_seeds)})
    write(rows, out, ("gymnasium", "numpy", "torch"))
    return rows


def _spread(values: NDArray[np.float64]) -> dict[str, Any]:
    mean = mean_ci95(values) if len(values) > 1 else {"mean": round(float(values[0]), 3), "ci95": 0.0}
    return mean | {"seeds": [round(float(x), 3) for x in values]}
