"""What an agent may do, in each version of the environment.

* v1 `Discrete(3)`: one replica of deployment 0 less, as many, or one more, at its home node.
* v2 `Discrete(N)`: the node where the pod to place runs from now on. The pods that exist when the episode begins take
  turns, in the order of the deployments; the episode terminates when each has had its turn.
* v3 `MultiDiscrete([R + 1] * D)`: replicas of every deployment at its home node; R is the largest max_replicas.
* v4 `MultiDiscrete([R + 1] * D * N)`: replicas of every deployment on every node, `d * N + n`.

A mask forbids what can never run (node not allowed, or more than fits it when empty) and, in v3 and v4, fewer than
min_replicas, which stand at home; what is asked for beyond it, or beyond max_replicas over all nodes (counted in node
order), is not applied. A continuous twin takes numbers in [0, 1] and rounds them onto the same integers.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lwmecps_core.envs.observation import V1, V2, V3, V4, observation_blocks, version_of
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.sim.formulas import compiled
from lwmecps_core.sim.state import Params, State, home_node, initial_replicas, kept_replicas, pod_limits
from lwmecps_core.specs import CONTINUOUS_SUFFIX, EnvSpec, TaskSpec


def env_spec(task: TaskSpec) -> EnvSpec:
    """What an algorithm must know about the task's environment."""
    nvec = discrete_nvec(task)
    entities: dict[int, Literal["deployment", "pair"]] = {V3: "deployment", V4: "pair"}
    return EnvSpec(
        env_id=task.env_id,
        blocks=observation_blocks(task),
        nvec=() if task.env_id.endswith(CONTINUOUS_SUFFIX) else nvec,
        action_size=len(nvec),
        horizon=task.horizon,
        action_entity=entities.get(version_of(task.env_id), "global"),
    )


def discrete_nvec(task: TaskSpec) -> tuple[int, ...]:
    """Sizes of the action components, also where the agent's actions are continuous."""
    d, n = len(task.deployments), len(task.cluster.nodes)
    counts = max(dep.max_replicas for dep in task.deployments) + 1
    return {V1: (3,), V2: (n,), V3: (counts,) * d, V4: (counts,) * (d * n)}[version_of(task.env_id)]


def to_discrete(action: NDArray[np.floating[Any]], nvec: tuple[int, ...]) -> NDArray[np.int32]:
    """Integers in `[0, nvec)` nearest to numbers in [0, 1], `[..., A]`; halves go up."""
    sizes = np.asarray(nvec, np.float64) - 1.0
    rounded: NDArray[np.int32] = np.floor(np.clip(np.nan_to_num(action), 0.0, 1.0) * sizes + 0.5).astype(np.int32)
    return rounded


def most(nvec: Sequence[int]) -> NDArray[np.uint64]:
    """What `checked` compares with: the number of choices that all components have, else each one's (none: empty)."""
    found = np.array(nvec, np.uint64)
    return found.max() if found.size and (found == found[0]).all() else found


def checked(action: Any, nvec: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Choices as integers of `shape` `[..., A]`, each in `[0, nvec)`; raises `InvalidInput` for anything else.

    `nvec` is an array `[A]`, or (quicker) the one number that all components have, see `most`.
    """
    given = np.asarray(action)
    if given.dtype.kind not in "iu":
        raise InvalidInput("step", [Violation("action", f"must be integers, not {given.dtype}")])
    if given.size != prod(shape):
        raise InvalidInput("step", [Violation("action", f"must be of shape {shape}, not {given.shape}")])
    chosen = given.reshape(shape).astype(np.int64)
    outside = chosen.view(np.uint64) >= np.asarray(nvec, np.uint64)  # what is negative is large then
    if np.count_nonzero(outside):
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        reason = f"{given.reshape(shape)[at]} is not in [0, {np.broadcast_to(nvec, shape)[at] - 1}]"
        raise InvalidInput("step", [Violation(f"action[{', '.join(map(str, at))}]", reason)])
    return chosen


def taken(action: Any, limit: NDArray[np.uint64], shape: tuple[int, ...]) -> NDArray[Any]:
    """Actions of `shape` `[..., A]` as environments take them: choices below `limit` (`most`), or finite numbers where
    that is empty because actions are continuous; raises `InvalidInput` for anything else.
    """
    if limit.size:
        return checked(action, limit, shape)
    numbers = np.asarray(action, np.float64).reshape(shape)
    if not np.isfinite(numbers).all():
        raise InvalidInput("step", [Violation("action", "must be finite numbers in [0, 1]")])
    return numbers


def action_masks(task: TaskSpec) -> NDArray[np.bool_]:
    """Masks `[P, M]` of the action: one row, or, in v2, one for every pod to place and one for when all are placed."""
    version, limit = version_of(task.env_id), pod_limits(task)
    if version == V1:
        return np.ones((1, 3), np.bool_)
    if version == V2:
        deployment = np.repeat(np.arange(len(limit)), initial_replicas(task))
        rows = np.concatenate([limit[deployment] > 0, np.ones((1, limit.shape[1]), np.bool_)])
        rows[~rows.any(axis=1)] = True
        return rows
    counts, kept = np.arange(discrete_nvec(task)[0]), kept_replicas(task)
    if version == V3:
        at_home = np.arange(len(limit)), [home_node(task, d) for d in range(len(limit))]
        limit, kept = limit[at_home], kept[at_home]
    return ((kept.reshape(-1, 1) <= counts) & (counts <= limit.reshape(-1, 1))).reshape(1, -1)


@compiled
def act(version: int, p: Params, s: State, k: int, b: int, action: Any) -> None:
    """Turn environment `b`'s action `[A]` i32 into the desired replicas of its pools."""
    pools, env = s.pools[b], s.envs[b]
    n_deps, n_nodes = pools.shape
    if version == V1:
        home = p.deployments[k, 0].home
        wanted = pools[0, home].desired + min(max(action[0], 0), 2) - 1
        pools[0, home].desired = min(max(wanted, p.kept[k, 0, home]), p.limit[k, 0, home])
    elif version == V2:
        if env.pod < p.tasks[k].pods:
            d = p.pods[k, env.pod]
            n = min(max(action[0], 0), n_nodes - 1)
            if pools[d, n].desired < p.limit[k, d, n]:
                pools[d, env.pod_node].desired -= 1
                pools[d, n].desired += 1
            env.pod += 1
            env.pod_node = p.deployments[k, p.pods[k, env.pod]].home if env.pod < p.tasks[k].pods else -1
    else:
        for d in range(n_deps):
            left = p.deployments[k, d].max_replicas
            for n in range(n_nodes):
                left -= p.kept[k, d, n]
            for n in range(n_nodes):
                wanted = 0
                if version == V4:
                    wanted = action[d * n_nodes + n]
                elif n == p.deployments[k, d].home:
                    wanted = action[d]
                kept = p.kept[k, d, n]
                more = min(max(wanted - kept, 0), p.limit[k, d, n] - kept, left)
                pools[d, n].desired = kept + more
                left -= more
