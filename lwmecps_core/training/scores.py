"""What tasks are scored by when a curriculum has to choose among them: how much there is to learn from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from lwmecps_core.algorithms.base import Algorithm, learnable
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.baselines.dynamic_programming import best_by_programme
from lwmecps_core.baselines.oracle import best_plans
from lwmecps_core.baselines.replay import Replay
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.env_ids import CONTINUOUS_SUFFIX
from lwmecps_core.envs.observation import V3, V4, version_of
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.collector import PolicySnapshot
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import EnvId, TaskSpec
from lwmecps_core.tree import expanded, expanded_extra

Floats = NDArray[np.float64]
Search = Callable[[Replay], Floats]
"""What the best plan that is found for each episode of a replay earns: `[E]`."""


def value_loss(
    algo: Algorithm, policy: PolicySnapshot, batches: Sequence[RolloutBatch], noise: torch.Generator
) -> Floats:
    """The critic's loss on the rollouts of each task `[K]`: of PPO the squared error to its targets.

    Every algorithm has such a loss; Jiang et al. 2021 (arXiv:2010.03934, section 3.2) take the mean size of the
    advantages, that is of the same errors. Raises `InvalidInput` for an algorithm without a critic.
    """
    params, extra = expanded(policy.params, len(batches)), expanded_extra(policy.extra, len(batches))
    with torch.no_grad():
        losses = algo.losses(params, extra, learnable(algo, params, extra, stacked(batches), noise))
    if "critic" not in losses:
        reason = f"value_loss is of algorithms with a critic, not of {policy.algorithm.name}; use regret"
        raise InvalidInput("training", [Violation("curriculum_score", reason)])
    found: Floats = losses["critic"].numpy().astype(np.float64)
    return found


def regret(tasks: Sequence[TaskSpec], batches: Sequence[RolloutBatch], search: Search) -> Floats:
    """What the policy's first episode on each task `[K]` earned less than the best plan that a search of the simulator
    finds for this very episode, with everything hidden and the users to come known.

    It is what minimax regret asks of a curriculum (Dennis et al. 2020, arXiv:2012.02096), and what value losses stand
    in for where nobody can search.
    """
    discrete = [replace(task, env_id=_discrete(task.env_id)) for task in tasks]
    first = np.concatenate([episode_seeds(b.seed, b.width)[:1] for b in batches])
    best = search(Replay(tuple(discrete), np.arange(len(tasks)), first))
    earned = [float(b.reward[: t.horizon, 0].sum(dtype=np.float64)) for b, t in zip(batches, tasks, strict=True)]
    found: Floats = best - np.array(earned)
    return found


def check_regret(task: TaskSpec, length: int) -> None:
    """Raise `InvalidInput` where no regret can be told: of parts of episodes, and where no search plans."""
    reason = ""
    if version_of(task.env_id) not in (V3, V4):
        reason = f"a regret needs the oracle, which plans lwmecps-v3 and v4, not {task.env_id}; use value_loss"
    elif 0 < length < task.horizon:
        reason = f"a regret is of whole episodes of {task.horizon} intervals, and n_steps is {length}; use value_loss"
    if reason:
        raise InvalidInput("training", [Violation("curriculum_score", reason)])


def _programmed(episodes: Replay) -> Floats:
    """By the best dynamic programme, which no search refines."""
    found: Floats = episodes.rewards(best_by_programme(episodes)).sum(-1).max(1)
    return found


def _searched(episodes: Replay) -> Floats:
    """By all that the oracle does."""
    plans = best_plans(episodes.tasks, episodes.task_of, episodes.seeds)
    found: Floats = episodes.rewards(plans[:, None]).sum(-1)[:, 0]
    return found


REGRETS: Mapping[str, Search] = {"quick_regret": _programmed, "regret": _searched}
"""Of `curriculum_score`."""


def _discrete(env_id: str) -> EnvId:
    return "lwmecps-v3" if version_of(env_id.removesuffix(CONTINUOUS_SUFFIX)) == V3 else "lwmecps-v4"
