"""What a cell finds: the results of its method on held-out tasks, and what its training took."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bench.context.cells import ADAPTED, ALONE, EVALUATION_SEED, HELD_OUT_SEED, Cell, ClusterKind
from bench.context.results import CellOutcome, Found
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import MetaConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.statistics import summarise
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import adapt, evaluate, meta_train, train
from lwmecps_core.training.progress import Progress

COLLECTOR = LocalCollector()


def run(cell: Cell) -> CellOutcome:
    """Train what the cell trains, and measure it."""
    if cell.baselines:
        return CellOutcome(found=list(_rules(cell)))
    begun = time.process_time()
    if cell.method == ALONE:
        return CellOutcome(found=list(_alone(cell)), training_cpu_s=time.process_time() - begun)
    policy = trained(cell)
    cpu_s = time.process_time() - begun
    found = [x for problem in (cell.problem, *cell.also) for x in measured(cell, policy, problem)]
    return CellOutcome(found=found, training_cpu_s=cpu_s)


def distribution(problem: ClusterKind) -> TaskDistribution:
    """What training tasks and held-out ones are drawn from."""
    return TaskDistribution(
        family=problem.family, env_id=problem.env_id, nodes=problem.nodes, deployments=problem.deployments
    )


def held_out(problem: ClusterKind, count: int) -> tuple[TaskSpec, ...]:
    """The tasks that every method is measured on."""
    return tuple(draw(distribution(problem), HELD_OUT_SEED + i) for i in range(count))


def _rules(cell: Cell) -> Iterator[Found]:
    tasks = held_out(cell.problem, cell.tasks)
    for name in cell.baselines:
        cfg = replace(cell.measuring, baseline=name)
        steps = evaluate(None, tasks, cfg, COLLECTOR, seed=EVALUATION_SEED, calibration=distribution(cell.problem))
        yield from _found(cell.problem, steps, name)


def _alone(cell: Cell) -> Iterator[Found]:
    """A policy from nothing for every held-out task; its random numbers are those of the task's place among them."""
    assert isinstance(cell.training, TrainConfig)
    tasks = held_out(cell.problem, cell.tasks)
    steps = train(tasks, cell.algorithm, cell.training, COLLECTOR, seed=EVALUATION_SEED)
    yield from (replace(found, inner_steps=0) for found in _found(cell.problem, steps, cell.method))


def trained(cell: Cell) -> PolicyData:
    """What the cell's training comes to."""
    source, cfg = distribution(cell.problem), cell.training
    if isinstance(cfg, MetaConfig):
        *_, last = meta_train(source, cell.algorithm, cfg, COLLECTOR, seed=cell.seed)
    else:
        *_, last = train(source, cell.algorithm, cfg, COLLECTOR, seed=cell.seed)
    assert last.policy is not None
    return last.policy


def measured(cell: Cell, policy: PolicyData, problem: ClusterKind) -> Iterator[Found]:
    """The policy as it is, and after steps; beside what was taught to adapt also random weights after as many."""
    tasks = held_out(problem, cell.tasks)
    start = "unadapted" if cell.method == ADAPTED else cell.method
    yield from _found(problem, evaluate(policy, tasks, cell.measuring, COLLECTOR, seed=EVALUATION_SEED), start)
    if cell.steps is None or problem != cell.problem:
        return
    after = cell.method if cell.method == ADAPTED else f"{cell.method}_fine_tuned"
    yield from _stepped(problem, adapt(policy, tasks, cell.steps, COLLECTOR, seed=EVALUATION_SEED), after)
    if cell.method == ADAPTED:
        cfg = replace(cell.steps, random_weights=True)
        yield from _stepped(problem, adapt(policy, tasks, cfg, COLLECTOR, seed=cell.seed), "scratch")


def _stepped(problem: ClusterKind, steps: Iterator[Progress], method: str) -> Iterator[Found]:
    """Without the policy as it was before the first step."""
    return (found for found in _found(problem, steps, method) if found.inner_steps)


def _found(problem: ClusterKind, steps: Iterator[Progress], method: str) -> Iterator[Found]:
    rows = [replace(row, method=method) for step in steps for row in step.rows]
    for summary in summarise(rows):
        at = (summary.inner_steps, summary.episode)
        own = [row for row in rows if (row.inner_steps, row.episode) == at]
        yield Found(
            problem=problem,
            method=method,
            inner_steps=summary.inner_steps,
            episode=summary.episode,
            rewards=_rounded([row.reward for row in own]),
            support_reward=summary.support_reward_mean,
            latency_ms=summary.latency_mean_ms,
            replicas=summary.replicas_mean,
            sla_miss=summary.sla_miss_share,
            moves=summary.moves_mean,
        )


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(np.round(values, 3).tolist())
