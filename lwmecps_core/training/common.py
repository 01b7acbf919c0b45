"""What several loops need: the algorithm for a task, how a policy adapts, the plan by which everything is measured."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lwmecps_core import fits, meta
from lwmecps_core.algorithms.base import Algorithm, Params
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.config import parse
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import Diverged
from lwmecps_core.meta.base import MetaLearner
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.run_config import IMAMLConfig, MAMLConfig, MetaLearnerConfig
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.sampling import seeds
from lwmecps_core.tree import leaves


def evaluation_plan(tasks: Sequence[TaskSpec], episodes: int, seed: int) -> CollectionPlan:
    """The plan by which everything is measured: under one seed all methods meet the same episodes."""
    return CollectionPlan(seeds=seeds(seed, "evaluation", len(tasks)), episodes=episodes, greedy=True)


def check_sound(params: Params, step: int, names: Sequence[str] = ()) -> None:
    """Raise `Diverged` where after a step (from 0) a set of weights `[K, ...]` isn't one of finite numbers: what is
    trained on would be noise, and what came of it no policy. `names` are those of the K tasks, where each has its own.
    """
    sound = torch.stack([leaf.detach().isfinite().reshape(len(leaf), -1).all(1) for leaf in leaves(params)])
    lost = (~sound.all(0)).nonzero().flatten().tolist()
    if not lost:
        return
    leaf_names = [f"{group}/{name}" for group, named in params.items() for name in named]
    first = leaf_names[int((~sound[:, lost[0]]).int().argmax())]
    others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    where = f" on task {names[lost[0]]}{others}" if len(names) > 1 else ""
    remedy = "a smaller learning rate may help"
    raise Diverged(f"training diverged in step {step + 1}{where}: {first} is no longer finite; {remedy}")


def remembered(batches: Sequence[RolloutBatch]) -> dict[str, Tensor]:
    """What a policy remembers at the end of one rollout per task, as `PolicySnapshot.memory` takes it."""
    return {name: torch.stack([torch.as_tensor(b.memory[name]) for b in batches]) for name in batches[0].memory}


def mean_rewards(batches: Sequence[RolloutBatch]) -> list[float]:
    """Every task's mean reward of an episode."""
    return [float(b.reward.sum(0).mean()) for b in batches]


def bound_algorithm(policy: PolicyData, task: TaskSpec) -> Algorithm:
    """The policy's algorithm bound to the task's environment; raises `InvalidInput` when the two don't fit."""
    return fits.bound(policy, env_spec(task), f"task {task.name}", "env_id")


def taught_by(policy: PolicyData) -> MetaLearner:
    """The meta-learner by whose inner steps the policy was taught to adapt; plain steps where it says nothing."""
    said = policy.metadata
    if "meta_learner" in said:
        return meta.make(parse(MetaLearnerConfig, said["meta_learner"], "policy"))
    # Policies from before there was `meta_learner`: all but implicit MAML's step plainly.
    implicit = said.get("meta_method") == "implicit_fomaml"
    return meta.make(IMAMLConfig(proximal=said["proximal"]) if implicit else MAMLConfig())
