"""What a cell finds: a policy's points over its multipliers, or the rules' over their settings."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from bench.slo.cells import (
    CHOOSING_SEED,
    CONTROLS,
    EVALUATION_SEED,
    FACTORS,
    HELD_OUT_SEED,
    HPA,
    RULES,
    TRAINING_SEED,
    WINDOWS_S,
    SloCell,
)
from bench.slo.results import Point, SloOutcome
from bench.slo.workloads import WORKLOADS, tasks
from lwmecps_core.baselines.hpa import TARGETS, Hpa, HpaSettings
from lwmecps_core.envs.scene import scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.policy import PolicyData
from lwmecps_core.results import Row
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import EvaluateConfig
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training import evaluate, train
from lwmecps_core.training.common import evaluation_plan
from lwmecps_core.training.evaluation import rows
from lwmecps_core.training.multipliers import FOUND, NAMES, told_by

COLLECTOR = LocalCollector()
AUTOSCALERS = [HpaSettings(target=t, stabilisation_s=w) for t, w in product(TARGETS, WINDOWS_S)]
Places = Mapping[str, tuple[TaskSpec, ...]]
"""Workload → tasks."""


def run(cell: SloCell) -> SloOutcome:
    """Train what the cell trains, and measure it."""
    held_out, others = (
        _places(cell, n, seed) for n, seed in ((cell.tasks, HELD_OUT_SEED), (cell.choosing, CHOOSING_SEED))
    )
    if cell.method == RULES:
        return SloOutcome(points=(*_autoscalers(cell, held_out, others), *_controls(cell, held_out)))
    begun = time.process_time()
    drawn = [t for some in _places(cell, cell.training_tasks, TRAINING_SEED).values() for t in some]
    source = tuple(told_by({FOUND: dict.fromkeys(NAMES, cell.start)}, drawn))
    *_, last = train(source, cell.algorithm, cell.training, COLLECTOR, seed=cell.seed)
    assert last.policy is not None
    cpu_s, found = time.process_time() - begun, last.policy.metadata[FOUND]
    points = _policy(cell, last.policy, held_out, others)
    return SloOutcome(points=tuple(points), training_cpu_s=cpu_s, multipliers=found)


def _places(cell: SloCell, count: int, seed: int) -> Places:
    return {w: tasks(w, cell.env_id, count, seed + 10_000 * i, cell.nodes) for i, w in enumerate(WORKLOADS)}


def _policy(cell: SloCell, policy: PolicyData, held_out: Places, others: Places) -> Iterator[Point]:
    """The policy, told multipliers so many times as large as those that its training ended with: the chosen one may
    miss no more on the choosing tasks than the tuned HPA does there, whose place it is to take.
    """
    rules = {w: [_scaled(cell, s, some) for s in AUTOSCALERS] for w, some in others.items()}

    def measured(factor: float, some: Sequence[TaskSpec]) -> tuple[Row, ...]:
        told = {name: factor * value for name, value in policy.metadata[FOUND].items()}
        cfg = EvaluateConfig(episodes=cell.episodes)
        *_, last = evaluate(replace(policy, metadata={FOUND: told}), tuple(some), cfg, COLLECTOR, seed=EVALUATION_SEED)
        return last.rows

    for workload, some in held_out.items():
        rule = rules[workload][chosen(rules[workload], others[workload])]
        found = [measured(factor, others[workload]) for factor in FACTORS]
        best = chosen(found, others[workload], _mean([r.violation_share for r in rule]))
        for i, factor in enumerate(FACTORS):
            yield point(workload, cell.method, f"{factor:g}", i == best, measured(factor, some))


def _autoscalers(cell: SloCell, held_out: Places, others: Places) -> Iterator[Point]:
    """The HPA with every target and window; the chosen one is the tuned HPA."""
    for workload, some in held_out.items():
        best = chosen([_scaled(cell, s, others[workload]) for s in AUTOSCALERS], others[workload])
        for i, s in enumerate(AUTOSCALERS):
            name = f"{s.target:g}, {s.stabilisation_s:g} s"
            yield point(workload, HPA, name, i == best, _scaled(cell, s, some))


def _scaled(cell: SloCell, settings: HpaSettings, some: Sequence[TaskSpec]) -> list[Row]:
    env = BatchEnv(some, np.repeat(np.arange(len(some)), cell.episodes))
    plan = evaluation_plan(some, cell.episodes, EVALUATION_SEED)
    batches, _ = drive(env, Hpa(scene(some, env.task_of), settings), plan, again=False)
    return rows(batches, [t.name for t in some], HPA, tasks=some)


def _controls(cell: SloCell, held_out: Places) -> Iterator[Point]:
    for workload, some in held_out.items():
        for name in CONTROLS:
            cfg = EvaluateConfig(episodes=cell.episodes, baseline=name)
            *_, last = evaluate(None, some, cfg, COLLECTOR, seed=EVALUATION_SEED)
            yield point(workload, name, "", True, last.rows)


def chosen(found: Sequence[Sequence[Row]], some: Sequence[TaskSpec], most: float = 1.0) -> int:
    """Which of several settings an operator would take: the cheapest that keeps to the bounds, and in no more than
    `most` of the windows misses them, else the one that misses them least.
    """
    allowed = min(most, float(np.mean([t.objective.slo.allowed for t in some if t.objective.slo])))
    missed = [_mean([r.violation_share for r in own]) for own in found]
    cost = [_mean([r.cost_per_hour for r in own]) for own in found]
    return min(range(len(found)), key=lambda i: (max(missed[i] - allowed, 0.0), cost[i]))


def point(workload: str, method: str, setting: str, best: bool, own: Sequence[Row]) -> Point:
    """The rows of one method with one setting as what is kept of them."""
    return Point(
        workload=workload,
        method=method,
        setting=setting,
        chosen=best,
        reward=_mean([r.reward for r in own]),
        costs=tuple(r.cost_per_hour or 0.0 for r in own),
        missed=tuple(r.violation_share or 0.0 for r in own),
        cost_steady=_mean([r.cost_per_hour_steady for r in own]),
        missed_steady=_mean([r.violation_share_steady for r in own]),
        moves=_mean([r.moves_per_hour for r in own]),
        moves_steady=_mean([r.moves_per_hour_steady for r in own]),
        decision_us=own[0].decision_us,
        decision_us_steady=own[0].decision_us_steady,
    )


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([v for v in values if v is not None] or [0.0]))
