"""Plans by dynamic programming over the replicas of each deployment.

Deployments hardly touch each other as long as each is served by its own replicas. So: what an interval costs is
measured, for every number of replicas, in episodes that hold that number throughout; then each deployment's replicas
are chosen by a dynamic programme that pays for moves and for starting pods ahead of time. Variants decide what is
coupled: which deployments are switched off, so that others answer for them (v3), and where pods go (v4).
"""

from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.baselines.replay import Replay
from lwmecps_core.envs.observation import V4
from lwmecps_core.envs.scene import Ints, Scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.workload import users_table

Floats = NDArray[np.float64]

MOST_SUBSETS_OF = 5
"""Deployments up to which every subset is tried as switched off; beyond, one at a time."""


@dataclass(frozen=True)
class Variant:
    """`on` `[D]`: which deployments run at all; `pods` `[E, D, R + 1, A]`: what r replicas of one mean as an action."""

    on: NDArray[np.bool_]
    pods: Ints


def best_by_programme(replay: Replay) -> Ints:
    """The best plan of every variant: `[E, V, T, A]`."""
    each = variants(replay)
    costs = _measured_costs(replay, each)
    ahead = np.array([[ceil(d.startup_s / t.interval_s - 1e-9) for d in t.deployments] for t in replay.tasks])
    totals = [_cheapest(replay, costs[:, v], ahead[replay.task_of]) for v in range(len(each))]
    return np.stack(
        [_actions(v.pods, _requested(r, ahead[replay.task_of])) for v, r in zip(each, totals, strict=True)], 1
    )


def variants(replay: Replay) -> list[Variant]:
    """v3: every choice of deployments that run; v4: pods next to their users, or spread over the nodes."""
    where = replay.scene
    count = where.maximum.shape[1]
    if where.version == V4:
        return [Variant(np.ones(count, np.bool_), _slots(replay, near)) for near in (True, False)]
    replicas = np.arange(where.maximum.max() + 1)
    pods = np.minimum(replicas, where.room[..., None])[..., None] * np.eye(count, dtype=np.int64)[:, None]
    if count <= MOST_SUBSETS_OF:
        subsets = [np.array(on) for on in product((True, False), repeat=count) if any(on)]
    else:
        subsets = [np.ones(count, np.bool_), *~np.eye(count, dtype=np.bool_)]
    return [Variant(on, pods) for on in subsets]


def _slots(replay: Replay, near: bool) -> Ints:
    """`[E, D, R + 1, D * N]`: nodes of the first r pods, deployments taking turns while there is room."""
    where = replay.scene
    tables = np.stack([_slots_of(task, where, k, near) for k, task in enumerate(replay.tasks)])
    return tables[replay.task_of]


def _slots_of(task: TaskSpec, where: Scene, k: int, near: bool) -> Ints:
    count, nodes, most = len(task.deployments), len(task.cluster.nodes), int(where.maximum.max())
    access = np.array([n.access_latency_ms for n in task.cluster.nodes])
    users = users_table(task).mean(0)[:, None] * np.array(task.workload.share)
    weight = users / np.maximum(users.sum(0), 1e-9)
    distance = (np.array(task.cluster.rtt_ms) @ weight).T + access
    room = np.array([[n.cpu_millicores, n.ram_mib] for n in task.cluster.nodes])
    whole = room.copy()
    allowed = np.array(
        [[not d.allowed_nodes or n.name in d.allowed_nodes for n in task.cluster.nodes] for d in task.deployments]
    )
    pods = np.zeros((count, most + 1, count, nodes), np.int64)
    for r, d in product(range(1, most + 1), range(count)):
        pods[d, r] = pods[d, r - 1]
        need = np.array([task.deployments[d].cpu_millicores, task.deployments[d].ram_mib])
        fits = allowed[d] & (room >= need).all(1)
        if r > task.deployments[d].max_replicas or not fits.any():
            continue
        price = distance[d] if near else -((room - need) / whole).min(1)
        n = np.where(fits, price, np.inf).argmin()
        room[n] -= need
        pods[d, r, d, n] += 1
    return pods.reshape(count, most + 1, count * nodes)


def _measured_costs(replay: Replay, each: list[Variant]) -> Floats:
    """Cost `[E, V, D, R + 1, T]` of an interval with r replicas; infinite where a variant does not allow r."""
    pods = np.stack([v.pods for v in each], 1)
    episodes, count_v, count_d, sizes = pods.shape[:4]
    on = np.stack([v.on for v in each])
    constant = (pods * on[None, :, :, None, None]).sum(2)
    plans = np.repeat(constant.reshape(episodes, count_v * sizes, 1, -1), replay.horizon, axis=2)
    latency, failed, rate = (np.empty((replay.horizon, episodes * count_v * sizes, count_d)) for _ in range(3))

    def watch(t: int, env: BatchEnv) -> None:
        seen = env.state.deployments
        latency[t], failed[t], rate[t] = seen["latency_ms"], seen["failed_share"], seen["rate"]

    replay.rewards(plans, watch)
    share = rate / np.maximum(rate.sum(-1, keepdims=True), 1e-12)
    goals = [replay.tasks[k].objective for k in replay.task_of]
    per_ms = np.repeat([g.latency / g.target_latency_ms for g in goals], count_v * sizes)[:, None]
    per_failure = np.repeat([g.sla for g in goals], count_v * sizes)[:, None]
    cost = share * (per_ms * latency + per_failure * failed)
    cost = cost.reshape(replay.horizon, episodes, count_v, sizes, count_d).transpose(1, 2, 4, 3, 0)
    cost = cost + (_replica_price(replay)[:, None] * np.arange(sizes))[:, None, None, :, None]
    replicas = np.arange(sizes)[:, None]
    switchable = replay.scene.version != V4
    forbidden = np.where(on[:, :, None, None], switchable & (replicas == 0), replicas > 0)
    beyond = replicas > replay.scene.room[:, None, :, None, None]
    result: Floats = np.where(forbidden[None] | beyond, np.inf, cost)
    return result


def _replica_price(replay: Replay) -> Floats:
    """Cost of one replica for one interval `[E]`."""
    prices = [t.objective.replicas / sum(d.max_replicas for d in t.deployments) for t in replay.tasks]
    return np.array(prices)[replay.task_of]


def _cheapest(replay: Replay, cost: Floats, ahead: Ints) -> Ints:
    """Ready replicas `[E, T, D]` of least cost `[E, D, R + 1, T]`, with moves and pods that start paid for."""
    episodes, count, sizes, horizon = cost.shape
    moves = np.array([t.objective.moves for t in replay.tasks])[replay.task_of]
    step = np.arange(sizes) - np.arange(sizes)[:, None]
    up = moves[:, None] + ahead * _replica_price(replay)[:, None]
    change = np.where(step > 0, step * up[..., None, None], -step * moves[:, None, None, None])
    value = np.where(np.arange(sizes) == replay.scene.deployed[..., None], 0.0, np.inf)
    came_from = np.empty((horizon, episodes, count, sizes), np.int64)
    for t in range(horizon):
        ways = value[..., None] + change
        came_from[t] = ways.argmin(2)
        value = np.take_along_axis(ways, came_from[t][:, :, None], 2)[:, :, 0] + cost[..., t]
    ready = np.empty((horizon, episodes, count), np.int64)
    ready[-1] = value.argmin(-1)
    for t in range(horizon - 1, 0, -1):
        ready[t - 1] = np.take_along_axis(came_from[t], ready[t][..., None], -1)[..., 0]
    return ready.swapaxes(0, 1)


def _requested(ready: Ints, ahead: Ints) -> Ints:
    """Replicas to ask for so that `ready` `[E, T, D]` are: whatever is needed until a pod asked for now would be."""
    wanted = ready.copy()
    for lead in range(1, int(ahead.max()) + 1):
        later = np.concatenate([ready[:, lead:], np.repeat(ready[:, -1:], min(lead, ready.shape[1]), axis=1)], axis=1)
        wanted = np.where(ahead[:, None] >= lead, np.maximum(wanted, later[:, : ready.shape[1]]), wanted)
    return wanted


def _actions(pods: Ints, totals: Ints) -> Ints:
    """Actions `[E, T, A]` from the replicas `[E, T, D]` of each deployment."""
    e, d = np.arange(len(pods))[:, None, None], np.arange(pods.shape[1])
    actions: Ints = pods[e, d, totals].sum(2)
    return actions
