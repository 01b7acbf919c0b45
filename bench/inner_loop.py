"""The meta-gradient of 25 tasks at once, against the same computation in a loop over the tasks; one thread."""

from collections.abc import Callable
from typing import Any

import torch

from bench.policies import ppo, snapshot, v3
from bench.report import BenchRow
from bench.timing import interleave, seconds
from lwmecps_core.algorithms.base import Batch
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.meta.maml import meta_gradient
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.unroll import unroll
from lwmecps_core.tree import expanded, expanded_extra, tree_map

TASKS, STEPS, TRANSITIONS = 25, 5, 20
FLOOR = 5.0


def run() -> BenchRow:
    many, loop = problem("mlp", TRANSITIONS)
    pair = interleave(lambda: seconds(loop), lambda: seconds(many), rounds=7, warm_up=1)
    others = {}
    for network, transitions in (("set", TRANSITIONS), ("mlp", 120), ("set", 120)):
        many, loop = problem(network, transitions)
        others[f"{network}, {transitions} transitions per task and step"] = seconds(loop) / seconds(many)
    return BenchRow(
        name="inner_loop",
        value=1.0 / pair.reference,
        unit=f"meta-gradients of {TASKS} tasks per s",
        ratio=pair.ratio,
        against="the same in a loop over tasks",
        floor=f">= {FLOOR:g} times",
        met=pair.ratio >= FLOOR,
        detail={
            "inner_steps": STEPS,
            "transitions_per_task_and_step": TRANSITIONS,
            "loop_s": pair.measured,
            "vectorised_s": pair.reference,
            "ratio_in_other_settings": others,
        },
    )


def problem(
    network: str, transitions: int, tasks: int = TASKS, steps: int = STEPS
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The second-order meta-gradient through `steps` inner steps: all tasks at once, and one after the other."""
    task = v3()
    _, algo, params, extra = ppo(task, network)
    start, extras = expanded(params, tasks), expanded_extra(extra, tasks)
    batches = []
    for step in range(steps + 1):
        seeds = tuple(range(step * tasks, (step + 1) * tasks))
        plan = CollectionPlan(seeds=seeds, episodes=1, length=transitions)
        data = stacked(unroll([task] * tasks, snapshot(task, network), plan))
        batches.append({k: v.detach() for k, v in algo.prepare(start, extras, data, torch.Generator()).items()})
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.01), params)

    def gradient(of: list[Batch]) -> Any:
        return meta_gradient(algo, params, extra, rates, of[:-1], of[-1])

    def loop() -> list[Any]:
        return [gradient([{k: v[i : i + 1] for k, v in b.items()} for b in batches]) for i in range(tasks)]

    return lambda: gradient(batches), loop
