"""Learnt optimisers for placement: `python -m bench.optimisers`, a few steps on new clusters by each kind of step."""

import os

from bench.processes import ONE_THREAD, ROOT

if __name__ == "__main__":  # before numba and torch are imported
    os.environ.update(ONE_THREAD)

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lwmecps_core.meta.learnt_optimiser import OptimiserConfig, to_bytes
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import AdaptConfig, PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.statistics import interval
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import adapt, train
from lwmecps_core.training.learnt_optimiser import learn

Rewards = NDArray[np.float64]
"""Of each task after each number of steps: `[steps + 1, tasks]`."""
CITY = TaskDistribution(env_id="lwmecps-v3")
TUNING, HELD_OUT = range(700_000, 700_016), range(800_000, 800_048)
EVALUATION_SEED = 800_000
TRAINING = TrainConfig(total_episodes=2_400, episodes_per_batch=4, tasks_per_batch=20, schedule="linear")
ALGORITHM = PPOConfig(learning_rate=1e-3, discount_factor=0.99, gae_lambda=0.95, n_epochs=4)
STEPS = AdaptConfig(
    adaptation_steps=5,
    episodes_per_step=4,
    evaluation_episodes=4,
    keep_start_if_worse=False,
    keep_placement_if_worse=False,
)
"""Nothing stands in for a step that is bad."""
RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)
"""That every kind of step is tuned over; the learnt optimiser's own beside them."""
OUT = ROOT / "bench" / "results" / "optimisers.json"
COLLECTOR = LocalCollector()


def kinds(optimiser: bytes) -> dict[str, AdaptConfig]:
    """Every kind of step, with the rate left open."""
    adam = to_bytes(learn(OptimiserConfig(steps=0), 0))
    return {"plain": STEPS, "Adam": replace(STEPS, optimiser=adam), "learnt": replace(STEPS, optimiser=optimiser)}


def trained(seed: int) -> PolicyData:
    """One policy for many clusters."""
    *_, last = train(CITY, ALGORITHM, TRAINING, COLLECTOR, seed=seed)
    assert last.policy is not None
    return last.policy


def rewards(policy: PolicyData, tasks: Sequence[TaskSpec], cfg: AdaptConfig) -> Rewards:
    """What a policy earns on each task before the first step and after each."""
    steps = adapt(policy, tuple(tasks), cfg, COLLECTOR, seed=EVALUATION_SEED)
    return np.array([[row.reward for row in progress.rows] for progress in steps])


def tuned(policy: PolicyData, cfgs: Mapping[str, AdaptConfig], say: Callable[[str], None]) -> dict[str, float | None]:
    """For every kind of step the rate with the best mean reward after the last step on the tuning clusters."""
    tasks, best = [draw(CITY, seed) for seed in TUNING], dict[str, float | None]()
    for name, cfg in cfgs.items():
        found = [float(rewards(policy, tasks, replace(cfg, inner_lr=rate))[-1].mean()) for rate in RATES]
        say(f"{name}: " + ", ".join(f"{rate:g} {x:.2f}" for rate, x in zip(RATES, found, strict=True)))
        best[name] = RATES[int(np.argmax(found))]
    return best


def summary(by_seed: Mapping[str, Sequence[Rewards]]) -> list[dict[str, Any]]:
    """Mean rewards after each step, and beside the tuned Adam on the same clusters; intervals over clusters, of means
    over training seeds.
    """
    mean = {name: np.mean(found, axis=0) for name, found in by_seed.items()}
    rows = []
    for name, found in mean.items():
        gaps = [interval(x - y) for x, y in zip(found, mean["Adam"], strict=True)]
        gains = interval(found[-1] - found[0])
        rows.append(
            {
                "name": name,
                "rewards": [round(float(x.mean()), 2) for x in found],
                "gain": [round(gains.mean, 2), round(gains.ci95, 2)],
                "minus_adam": [[round(gap.mean, 2), round(gap.ci95, 2)] for gap in gaps],
                "gain_of_seeds": [round(float((x[-1] - x[0]).mean()), 2) for x in by_seed[name]],
            }
        )
    return rows


def main() -> int:
    """Tune with the first policy and optimiser, measure all pairs on held-out clusters, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.optimisers", description=__doc__)
    parser.add_argument(
        "optimisers", type=Path, nargs="+", help="files of `lwmecps optimiser learn`, a policy for each"
    )
    optimisers = [file.read_bytes() for file in parser.parse_args().optimisers]
    torch.set_num_threads(1)
    found: dict[str, list[Rewards]] = {}
    rates: dict[str, float | None] = {"learnt, as it is": None}
    tasks = [draw(CITY, number) for number in HELD_OUT]
    for seed, optimiser in enumerate(optimisers):
        policy, cfgs = trained(seed), kinds(optimiser)
        if not seed:
            rates = tuned(policy, cfgs, print) | rates
        cfgs["learnt, as it is"] = cfgs["learnt"]
        for name, cfg in cfgs.items():
            found.setdefault(name, []).append(rewards(policy, tasks, replace(cfg, inner_lr=rates[name])))
        rows = summary(found)
        OUT.write_text(json.dumps({"seeds": seed + 1, "rates": rates, "rows": rows}, indent=2) + "\n")
        print(f"seed {seed}", *rows, sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
