"""Learning a metric from fleets of simulated clusters: watching them, episodes of support and query, training."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lwmecps_core import baselines
from lwmecps_core.context.base import PREFIX
from lwmecps_core.context.kept import Kept, terms_of
from lwmecps_core.context.portrait import portraits, standardised
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.meta.likeness import MetricData
from lwmecps_core.meta.metric import MetricConfig, descend, make
from lwmecps_core.optimiser import PackedOptimiser
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import Collector, PolicySnapshot
from lwmecps_core.rollout.drive import drive
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.fleets import fleet
from lwmecps_core.training.common import evaluation_plan
from lwmecps_core.training.sampling import seeds, torch_generator
from lwmecps_core.tree import detached

Floats = NDArray[np.float64]

FLEETS, CLUSTERS = 96, 10
"""Fleets that a metric is learnt from, and clusters of each."""
WATCHED = (20, 120)
"""Intervals after which they are looked at: early, and when a day has passed."""


def fleet_tasks(size: TaskDistribution, numbers: Sequence[int], clusters: int) -> list[TaskSpec]:
    """`clusters` tasks of each of the fleets with these numbers, fleet by fleet."""
    return [fleet(size, n).task(seed) for n in numbers for seed in seeds(n, "fleet", clusters)]


def watched(tasks: Sequence[TaskSpec], intervals: Sequence[int], seed: int, rule: str = "hpa") -> dict[int, Floats]:
    """Portraits `[N, F]` of tasks (of one `EnvSpec`) after so many intervals, at most an episode, under a rule."""
    intervals = sorted({min(at, tasks[0].horizon) for at in intervals})
    env = BatchEnv(tasks, np.arange(len(tasks)))
    plan = replace(evaluation_plan(tasks, 1, seed), length=max(intervals))
    batches, _ = drive(env, baselines.make(rule, tasks, np.arange(len(tasks))), plan, again=False)
    parts = [b.obs for b in batches], [terms_of(b.info) for b in batches]
    obs, terms = (np.concatenate(x, axis=1) for x in parts)
    context = Statistics(env.spec)
    kept, found, size = Kept(context, context.begin(len(tasks))), {}, len(tasks)
    kept.take_in(obs[0], np.zeros_like(terms[0]), np.ones(size, np.bool_))
    for t in range(max(intervals)):
        kept.take_in(obs[t + 1], terms[t], np.zeros(size, np.bool_))
        if t + 1 in intervals:
            found[t + 1] = portraits(kept.memory, _maximum(tasks))
    return found


def met(
    policy: PolicyData, tasks: Sequence[TaskSpec], collector: Collector, seed: int
) -> tuple[Floats, dict[str, Tensor]]:
    """Portraits `[N, F]` of tasks after an episode under a policy with the context `statistics`, and what it remembers,
    as `PolicySnapshot.memory` takes it.
    """
    snapshot = PolicySnapshot(policy.algorithm, policy.params, policy.extra, 0)
    batches = collector.collect(tasks, snapshot, evaluation_plan(tasks, 1, seed))
    memory = {name: np.concatenate([b.memory[name] for b in batches]) for name in batches[0].memory}
    kept = {name.removeprefix(PREFIX): x for name, x in memory.items() if name.startswith(PREFIX)}
    return portraits(kept, _maximum(tasks)), {name: torch.from_numpy(x)[:, None] for name, x in memory.items()}


def learn(rows: Sequence[Floats], cfg: MetricConfig, seed: int) -> MetricData:
    """A metric from portraits `[G, N, F]` of N clusters of each of G fleets; several such are looks at the same ones,
    and an episode takes any of them. A pure function of its arguments.
    """
    metric, looks = make(cfg), torch.from_numpy(np.nan_to_num(standardised(np.stack(rows)), nan=0.0)).float()
    generator = torch_generator(seed, "metric")
    optimiser = PackedOptimiser(metric.init(looks.shape[-1], generator), cfg.learning_rate, max_grad_norm=float("inf"))
    kinds, wanted = (x.expand(cfg.episodes_per_step, *x.shape) for x in labels(cfg))
    for _ in range(cfg.steps):
        support, query = (
            x + cfg.noise * torch.randn(x.shape, generator=generator)
            for x in some_episodes(looks, cfg, cfg.episodes_per_step, generator)
        )
        optimiser.step(descend(metric, optimiser.params, support, kinds, query, wanted))
    return MetricData(cfg, detached(optimiser.params))


def simulated(cfg: MetricConfig, size: TaskDistribution, seed: int, fleets: int = FLEETS) -> MetricData:
    """A metric from so many fleets of clusters of one version and size, under the Kubernetes autoscaler."""
    tasks = fleet_tasks(size, seeds(seed, "fleets", fleets), max(CLUSTERS, cfg.shots + cfg.queries))
    return learn([x.reshape(fleets, -1, x.shape[-1]) for x in watched(tasks, WATCHED, seed).values()], cfg, seed)


def labels(cfg: MetricConfig) -> tuple[Tensor, Tensor]:
    """Of an episode's examples `[ways·shots, ways]` (1 at the kind), and the kinds of its queries `[ways·queries]`."""
    kinds = torch.eye(cfg.ways).repeat_interleave(cfg.shots, 0)
    return kinds, torch.arange(cfg.ways).repeat_interleave(cfg.queries)


def some_episodes(looks: Tensor, cfg: MetricConfig, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Support `[count, ways·shots, F]` and query `[count, ways·queries, F]`, kind by kind, of looks `[L, G, N, F]`.

    Several looks are at the same clusters; each episode is of one of them.
    """
    look = torch.randint(len(looks), (count, 1, 1), generator=generator)
    fleets = torch.rand(count, looks.shape[1], generator=generator).argsort(-1)[:, : cfg.ways, None]
    order = torch.rand(count, cfg.ways, looks.shape[2], generator=generator).argsort(-1)
    own = looks[look, fleets, order[..., : cfg.shots + cfg.queries]]
    return own[:, :, : cfg.shots].flatten(1, 2), own[:, :, cfg.shots :].flatten(1, 2)


def _maximum(tasks: Sequence[TaskSpec]) -> list[list[int]]:
    return [[d.max_replicas for d in task.deployments] for task in tasks]
