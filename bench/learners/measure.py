"""What a cell finds: rewards of policies on held-out clusters, and which of them each way of choosing takes."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bench.learners.cells import EVALUATION_SEED, FLEET_SEED, METRIC_SEED, StartCell
from bench.learners.results import Start, StartOutcome
from bench.validation.fleets import comparer, filled, fleet_looks, raw
from lwmecps_core.meta.metric import REGISTRY
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.fleets import fleet
from lwmecps_core.training import adapt, train, transfer
from lwmecps_core.training.common import evaluation_plan, mean_rewards
from lwmecps_core.training.metric import learn, met
from lwmecps_core.training.sampling import seeds

COLLECTOR, SIZE = LocalCollector(), TaskDistribution()
Floats = NDArray[np.float64]
Tasks = list[TaskSpec]
GENERAL, MORE, TRUE, RANDOM, BEST = "general", "general, trained on", "own fleet", "random", "best in hindsight"


def run(cell: StartCell) -> StartOutcome:
    """Train the policies and metrics, meet the held-out clusters, and measure every policy on each."""
    begun = time.process_time()
    known = [clusters(FLEET_SEED + i, cell.known, "known") for i in range(cell.fleets)]
    everything = tuple(task for some in known for task in some)
    *_, last = train(everything, cell.algorithm, cell.training, COLLECTOR, seed=cell.seed)
    general = _policy(last.policy)
    longer = replace(cell.own, total_episodes=(cell.own.total_episodes or 0) * cell.fleets)
    own = [gone_on(general, tuple(some), cell.own, cell.seed) for some in known]
    more = gone_on(general, everything, longer, cell.seed)
    cpu_s = time.process_time() - begun
    portraits, _ = met(general, everything, COLLECTOR, cell.seed)
    examples = filled(portraits)
    compare = raw(looks := fleet_looks(SIZE, METRIC_SEED, cell.metric_fleets))
    for name in REGISTRY:
        compare[name] = comparer(learn(list(looks.values()), replace(cell.metric, name=name), cell.seed))
    found: list[Start] = []
    kinds = torch.eye(cell.fleets).repeat_interleave(cell.known, 0)
    for where, first in (("known fleets", FLEET_SEED), ("new fleets", FLEET_SEED + cell.fleets)):
        tasks = [t for i in range(cell.fleets) for t in clusters(first + i, cell.held_out, "held-out")]
        seen, memory = met(general, tasks, COLLECTOR, EVALUATION_SEED + 1)
        chosen = {n: c(examples, kinds, filled(seen)).argmax(-1).numpy() for n, c in compare.items()}
        if where == "known fleets":
            chosen[TRUE] = np.repeat(np.arange(cell.fleets), cell.held_out)
        for steps, rewards in _measured(cell, [*own, general, more], tasks, memory).items():
            found += starts(where, steps, rewards, chosen)
    return StartOutcome(starts=tuple(found), training_cpu_s=cpu_s)


def starts(where: str, steps: int, rewards: Floats, chosen: dict[str, NDArray[np.int64]]) -> list[Start]:
    """Rewards `[P, T]` of the fleets' policies, the general one and that trained on, by what each way chooses `[T]`."""
    own, tasks = rewards[:-2], np.arange(rewards.shape[1])
    found = {GENERAL: rewards[-2], MORE: rewards[-1], RANDOM: own.mean(0), BEST: own.max(0)}
    found |= {name: own[which, tasks] for name, which in chosen.items()}
    right = {name: float((which == chosen[TRUE]).mean()) for name, which in chosen.items()} if TRUE in chosen else {}
    return [
        Start(where=where, method=name, steps=steps, rewards=tuple(x.tolist()), right=right.get(name))
        for name, x in found.items()
    ]


def clusters(number: int, count: int, purpose: str) -> Tasks:
    """Of the fleet with this number."""
    return [fleet(SIZE, number).task(seed) for seed in seeds(number, purpose, count)]


def gone_on(policy: PolicyData, tasks: tuple[TaskSpec, ...], cfg: object, seed: int) -> PolicyData:
    """The policy after more training on some tasks."""
    *_, last = transfer(policy, tasks, cfg, COLLECTOR, seed=seed)  # type: ignore[arg-type]
    return _policy(last.policy)


def _measured(
    cell: StartCell, policies: Sequence[PolicyData], tasks: Tasks, memory: dict[str, torch.Tensor]
) -> dict[int, Floats]:
    """Steps → rewards `[P, T]`: of the second episode, which begins with what was seen in the first, and after plain
    steps, which begin with nothing known.
    """
    plan = evaluation_plan(tasks, cell.episodes, EVALUATION_SEED)
    found: dict[int, list[list[float]]] = {0: [], cell.steps.adaptation_steps: []}
    for policy in policies:
        snapshot = PolicySnapshot(policy.algorithm, policy.params, policy.extra, 0, memory=memory)
        found[0].append(mean_rewards(COLLECTOR.collect(tasks, snapshot, plan)))
        *_, last = adapt(policy, tasks, cell.steps, COLLECTOR, seed=EVALUATION_SEED)
        found[cell.steps.adaptation_steps].append([row.reward for row in last.rows])
    return {steps: np.array(rewards) for steps, rewards in found.items()}


def _policy(found: PolicyData | None) -> PolicyData:
    assert found is not None
    return found
