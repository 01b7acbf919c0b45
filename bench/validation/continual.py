"""Two clusters that contradict each other, one after the other: what is forgotten, by what is kept of the first.

On both of them all that counts is in the objective: requests that fail on the one, replicas on the other. A policy that
has learnt the one does the worst that there is on the other, and must not forget, since it is told the objective. One
that is not told it can find out while it acts, if it remembers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.validation.results import RESULTS, write
from lwmecps_core.algorithms import make
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.forgetting import matrix
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import ObjectiveSpec, TaskDistribution, TaskSpec
from lwmecps_core.statistics import interval
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import continual, train
from lwmecps_core.training.sampling import torch_generator

OUT = RESULTS / "validation-continual.json"
SEEDS = (0, 1, 2, 3, 4)
TOLD = PPOConfig(
    hidden_size=(16, 16), entropy_coef=0.05, learning_rate=3e-3, discount_factor=0.99, gae_lambda=0.95, n_epochs=4
)
FINDS_OUT = replace(TOLD, context="statistics", ignore_blocks=("objective", "limits"))
PLAIN = ContinualConfig(
    episodes_per_cluster=400,
    episodes_per_batch=4,
    learning_rate=TOLD.learning_rate,
    replay_share=0.0,
    keep_contexts=False,
    random_weights=True,
)
REPLAY = replace(PLAIN, replay_share=0.5)
WAYS: Mapping[str, tuple[PPOConfig, ContinualConfig]] = {
    "nothing is kept": (TOLD, PLAIN),
    "pulled back to the weights before, λ = 10": (TOLD, replace(PLAIN, weight_penalty=10.0)),
    "the same, λ = 100": (TOLD, replace(PLAIN, weight_penalty=100.0)),
    "replay, half of each batch": (TOLD, REPLAY),
    "not told the objective, replay": (FINDS_OUT, REPLAY),
    "not told the objective, replay and contexts": (FINDS_OUT, replace(REPLAY, keep_contexts=True)),
}
TOGETHER = "both at once, as many episodes (no stream)"
MEASURES = ("average_reward", "learnt_reward", "backward_transfer", "forgetting", "forward_transfer")


def contradicting() -> tuple[TaskSpec, TaskSpec]:
    """One cluster twice: where only failures cost, and where only replicas do."""
    some = draw(TaskDistribution(nodes=2, deployments=2, max_replicas=4, horizon=8), 0)
    nothing = ObjectiveSpec(latency=0.0, replicas=0.0, imbalance=0.0, sla=0.0, moves=0.0)
    return (
        replace(some, name="failures cost", objective=replace(nothing, sla=1.0)),
        replace(some, name="replicas cost", objective=replace(nothing, replicas=1.0)),
    )


def met(algorithm: PPOConfig, cfg: ContinualConfig, seed: int) -> dict[str, float]:
    """What is left after both, by the names of `forgetting.measures`."""
    tasks = contradicting()
    start = _random(algorithm, tasks[0], seed)
    rows, last = [], {}
    for progress in continual(start, tasks, cfg, LocalCollector(), seed=seed):
        rows += list(progress.rows)
        last = progress.metrics
    _, r = matrix(rows)
    return {name: last[name] for name in MEASURES} | {"of the first": float(r[-1, 0])}


def together(seed: int) -> float:
    """The average reward of a policy that met both all the time."""
    tasks, cfg = contradicting(), PLAIN
    whole = TrainConfig(
        total_episodes=2 * cfg.episodes_per_cluster,
        episodes_per_batch=cfg.episodes_per_batch,
        tasks_per_batch=cfg.tasks_per_batch,
        evaluation_episodes=cfg.evaluation_episodes,
    )
    *_, last = train(tasks, TOLD, whole, LocalCollector(), seed=seed)
    return float(np.mean([row.reward for row in last.rows]))


def _random(algorithm: PPOConfig, task: TaskSpec, seed: int) -> PolicyData:
    spec = env_spec(task)
    params, extra = make(algorithm, spec).init(torch_generator(seed, "weights"))
    return PolicyData(algorithm, spec, params, extra)


def _over_seeds(values: Sequence[float]) -> dict[str, float]:
    found = interval(values)
    return {"mean": round(found.mean, 3), "ci95": round(found.ci95, 3)}


def run(seeds: Sequence[int] = SEEDS, out: Path = OUT, say: Callable[[str], None] = lambda line: None) -> None:
    """Every way with every seed."""
    lines: list[dict[str, Any]] = []
    for name, (algorithm, cfg) in WAYS.items():
        found = [met(algorithm, cfg, seed) for seed in seeds]
        lines.append({"name": name} | {m: _over_seeds([f[m] for f in found]) for m in MEASURES})
        say(f"{name}: {lines[-1]}")
    lines.append({"name": TOGETHER, "average_reward": _over_seeds([together(seed) for seed in seeds])})
    say(f"{TOGETHER}: {lines[-1]}")
    write(lines, out)
