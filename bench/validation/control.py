"""Our algorithms on Gymnasium's classic control tasks, against Stable-Baselines3 in the same run with the same budget.

Ours is the learner itself (`Descent` and the algorithms' files) over a collector of Gymnasium's environments. Each side
uses settings tuned for the task: Stable-Baselines3 those of RL Baselines3 Zoo, ours the ones below, found on other
seeds than those reported. Every seed trains ours, then theirs, one after the other in one thread; what is timed is
training alone. The result is the mean return of 20 greedy episodes after training, and the environment steps per second
of both.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from bench.validation import results
from bench.validation.gym_collector import Choice, GymCollector, GymTask, greedy, returns
from lwmecps_core import algorithms
from lwmecps_core.config import dump
from lwmecps_core.run_config import AlgorithmConfig, DQNConfig, PPOConfig, SACConfig, TD3Config
from lwmecps_core.statistics import interval
from lwmecps_core.training.loop import Descent
from lwmecps_core.training.sampling import seeds, torch_generator

SEEDS = (0, 1, 2, 3, 4)
EPISODES = 20
SPEED_BAR = 3.0
PACKAGES = ("gymnasium", "numpy", "stable-baselines3", "torch")
OUT = results.RESULTS / "validation-control.json"

CARTPOLE, PENDULUM = GymTask("CartPole-v1"), GymTask("Pendulum-v1")


@dataclass(frozen=True)
class Ours:
    """How our learner trains: `steps` steps of `envs` environments between updates (the rest: see `GymCollector`)."""

    algorithm: AlgorithmConfig
    envs: int
    steps: int
    warm_up: int = 0
    reward_scale: float = 1.0
    units: tuple[float, ...] = ()


@dataclass(frozen=True)
class Theirs:
    """A class of Stable-Baselines3, with the settings that its zoo gives for the task.

    `schedules` name the settings that fall linearly from the given value to 0 over the budget.
    """

    algorithm: str
    settings: Mapping[str, Any]
    envs: int = 1
    schedules: Sequence[str] = ()
    action_noise: float = 0.0


@dataclass(frozen=True)
class ControlCase:
    """One algorithm on one task, with as many environment steps for both sides."""

    task: GymTask
    budget: int
    ours: Ours
    theirs: Theirs

    @property
    def name(self) -> str:
        """Such as `PPO CartPole-v1`."""
        return f"{self.theirs.algorithm} {self.task.env_id}"


@dataclass(frozen=True)
class Trained:
    """What one training run gave: mean return of greedy episodes, environment steps, and seconds of clock and CPU."""

    mean_return: float
    steps: int
    wall_s: float
    cpu_s: float


@dataclass
class Side:
    """All runs of one side of a case."""

    runs: list[Trained] = field(default_factory=list)

    @property
    def returns(self) -> list[float]:
        """Mean return of every seed."""
        return [run.mean_return for run in self.runs]

    def summary(self) -> dict[str, Any]:
        """Mean over seeds with the half width of its 95 % interval (Student's t), and all returns."""
        found = interval(self.returns)
        half = found.ci95 if len(self.runs) > 1 else 0.0
        return {"mean": round(found.mean, 2), "ci95": round(half, 2), "returns": [round(x, 1) for x in self.returns]}


CASES = (
    ControlCase(
        CARTPOLE,
        100_000,
        Ours(
            PPOConfig(
                n_steps=32,
                n_epochs=5,
                batch_size=256,
                gae_lambda=0.8,
                discount_factor=0.98,
                entropy_coef=0.0,
                learning_rate=1e-3,
                hidden_size=(64, 64),
                network="mlp",
            ),
            envs=32,
            steps=32,
        ),
        Theirs(
            "PPO",
            {
                "n_steps": 32,
                "batch_size": 256,
                "gae_lambda": 0.8,
                "gamma": 0.98,
                "n_epochs": 20,
                "ent_coef": 0.0,
                "learning_rate": 1e-3,
                "clip_range": 0.2,
            },
            envs=8,
            schedules=("learning_rate", "clip_range"),
        ),
    ),
    ControlCase(
        CARTPOLE,
        50_000,
        Ours(
            DQNConfig(
                learning_rate=2e-3,
                batch_size=128,
                memory_size=50_000,
                discount_factor=0.99,
                epsilon=0.05,
                updates_per_batch=48,
                tau=0.05,
                hidden_size=(64, 64),
                network="mlp",
            ),
            envs=16,
            steps=16,
            warm_up=64,
            reward_scale=0.05,
            units=(1.0, 1.0, 0.1, 1.0),
        ),
        Theirs(
            "DQN",
            {
                "learning_rate": 2.3e-3,
                "batch_size": 64,
                "buffer_size": 100_000,
                "learning_starts": 1000,
                "gamma": 0.99,
                "target_update_interval": 10,
                "train_freq": 256,
                "gradient_steps": 128,
                "exploration_fraction": 0.16,
                "exploration_final_eps": 0.04,
                "policy_kwargs": {"net_arch": [256, 256]},
            },
        ),
    ),
    ControlCase(
        PENDULUM,
        10_000,
        Ours(
            SACConfig(
                learning_rate=1e-3,
                batch_size=128,
                discount_factor=0.98,
                tau=0.01,
                memory_size=10_000,
                updates_per_batch=96,
                hidden_size=(64, 64),
                network="mlp",
            ),
            envs=16,
            steps=8,
            warm_up=32,
            reward_scale=0.1,
        ),
        Theirs("SAC", {"learning_rate": 1e-3}),
    ),
    ControlCase(
        PENDULUM,
        10_000,
        Ours(
            TD3Config(
                learning_rate=1e-3,
                batch_size=128,
                discount_factor=0.98,
                tau=0.01,
                memory_size=10_000,
                updates_per_batch=128,
                hidden_size=(64, 64),
                network="mlp",
            ),
            envs=16,
            steps=8,
            warm_up=32,
            reward_scale=0.1,
        ),
        Theirs(
            "TD3",
            {
                "learning_rate": 1e-3,
                "gamma": 0.98,
                "buffer_size": 200_000,
                "train_freq": 1,
                "gradient_steps": 1,
                "policy_kwargs": {"net_arch": [400, 300]},
            },
            action_noise=0.1,
        ),
    ),
)


def run(
    cases: Sequence[ControlCase] = CASES,
    run_seeds: Sequence[int] = SEEDS,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Train both sides of every case on every seed; one row per case, written to `out` after each (see `row_of`)."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for case in cases:
        ours, theirs = Side(), Side()
        for seed in run_seeds:
            for side, train in ((ours, train_ours), (theirs, train_theirs)):
                got = train(case, seed)
                side.runs.append(got)
                say(f"{case.name} seed {seed} {train.__name__}: {got.mean_return:.1f}, {got.steps / got.wall_s:.0f}/s")
        rows.append(row_of(case, run_seeds, ours, theirs))
        results.write(rows, out, PACKAGES)
    return rows


def row_of(case: ControlCase, run_seeds: Sequence[int], ours: Side, theirs: Side) -> dict[str, Any]:
    """A line of the results: returns of both sides, their difference (Welch's 95 % interval), the ratio of speeds.

    `not_lower` says that the interval reaches 0 or lies above it. Speeds are all steps over all seconds; `cpu_ratio` is
    the same by CPU time, which other processes on the machine touch less.
    """
    low, high = difference(ours.returns, theirs.returns)
    speed, cpu = (_ratio(ours, theirs, clock) for clock in ("wall_s", "cpu_s"))
    return {
        "name": case.name,
        "ours": ours.summary(),
        "stable_baselines3": theirs.summary(),
        "difference": {"low": round(low, 2), "high": round(high, 2)},
        "not_lower": high >= 0.0,
        "speed_ratio": round(speed, 2),
        "cpu_ratio": round(cpu, 2),
        "fast_enough": speed >= SPEED_BAR,
        "budget": case.budget,
        "episodes": EPISODES,
        "seeds": list(run_seeds),
        "settings": {
            "ours": {**_fields(case.ours), "algorithm": dump(case.ours.algorithm)},
            "stable_baselines3": _fields(case.theirs),
        },
    }


def difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the difference of means, with unequal variances (Welch 1947, Biometrika 34, 28–35)."""
    if np.ptp(ours) == np.ptp(theirs) == 0.0:
        same = float(np.mean(ours) - np.mean(theirs))
        return same, same
    gap = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    return float(gap.low), float(gap.high)


def train_ours(case: ControlCase, seed: int) -> Trained:
    """Plain training by `Descent`, as `train` does it for placement tasks."""
    ours = case.ours
    collector = GymCollector(case.task, ours.steps, ours.warm_up, ours.reward_scale, ours.units)
    algo = algorithms.make(ours.algorithm, case.task.spec())
    params, extra = algo.init(torch_generator(seed, "weights"))
    loop = Descent(algo, ours.algorithm, collector, seed, params=params, extra=extra)
    total = 1 + (case.budget - (ours.warm_up or ours.steps) * ours.envs) // (ours.steps * ours.envs)

    def train() -> int:
        for _ in loop.run((case.task,), 1, ours.envs, total, None):  # type: ignore[arg-type]
            pass
        return collector.taken

    return _timed(train, case, seed, lambda: greedy(case.task, loop.snapshot(total), ours.units))


def train_theirs(case: ControlCase, seed: int) -> Trained:
    """Training by Stable-Baselines3."""
    import stable_baselines3  # only this needs it
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.noise import NormalActionNoise

    theirs = case.theirs
    env = make_vec_env(case.task.env_id, theirs.envs, seed=seed)
    settings = dict(theirs.settings)
    settings |= {name: _falling(settings[name]) for name in theirs.schedules}
    if theirs.action_noise:
        size = env.action_space.shape
        settings["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, theirs.action_noise))
    model = getattr(stable_baselines3, theirs.algorithm)("MlpPolicy", env, seed=seed, device="cpu", **settings)

    def train() -> int:
        model.learn(case.budget)
        return int(model.num_timesteps)

    return _timed(train, case, seed, lambda: lambda obs: model.predict(obs, deterministic=True)[0])


def _timed(train: Callable[[], int], case: ControlCase, seed: int, choice: Callable[[], Choice]) -> Trained:
    wall, cpu = time.perf_counter(), time.process_time()
    steps = train()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = returns(case.task, choice(), EPISODES, seeds(seed, "evaluation", 1)[0] % 2**31)
    return Trained(float(found.mean()), steps, wall, cpu)


def _falling(start: float) -> Callable[[float], float]:
    return lambda left: left * start


def _ratio(ours: Side, theirs: Side, clock: str) -> float:
    ours_rate, their_rate = (
        sum(run.steps for run in side.runs) / sum(getattr(run, clock) for run in side.runs) for side in (ours, theirs)
    )
    return float(ours_rate / their_rate)


def _fields(settings: Ours | Theirs) -> dict[str, Any]:
    return {key: value for key, value in asdict(settings).items() if key != "algorithm" or isinstance(value, str)}
