"""What several loops need: the algorithm for a task, starting rates, and the plan by which everything is measured."""

from collections.abc import Sequence

import torch

from lwmecps_core import fits, meta
from lwmecps_core.algorithms.base import Algorithm, Params
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.meta.base import MetaLearner
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.run_config import MetaConfig
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.sampling import seeds
from lwmecps_core.tree import tree_map


def evaluation_plan(tasks: Sequence[TaskSpec], episodes: int, seed: int) -> CollectionPlan:
    """The plan by which everything is measured: under one seed all methods meet the same episodes."""
    return CollectionPlan(seeds=seeds(seed, "evaluation", len(tasks)), episodes=episodes, greedy=True)


def bound_algorithm(policy: PolicyData, task: TaskSpec) -> Algorithm:
    """The policy's algorithm bound to the task's environment; raises `InvalidInput` when the two don't fit."""
    return fits.bound(policy, env_spec(task), f"task {task.name}", "env_id")


def equal_rates(algo: Algorithm, params: Params, rate: float) -> Params:
    """One inner rate for every parameter that takes inner steps."""
    return tree_map(lambda leaf: torch.full_like(leaf, rate), {group: params[group] for group in algo.inner_groups})


def inner_rule(policy: PolicyData) -> tuple[MetaLearner, MetaConfig]:
    """How the policy was taught to adapt: its method and that method's settings; plain steps where it says nothing."""
    named = {"meta_method": "method", "proximal": "proximal"}
    cfg = MetaConfig(**{field: policy.metadata[key] for key, field in named.items() if key in policy.metadata})
    return meta.REGISTRY[cfg.method], cfg
