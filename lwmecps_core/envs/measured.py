"""The observation and the reward from what a cluster shows (the scalar twin of the compiled path)."""

from collections.abc import Mapping
from math import log

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.cluster.base import ClusterState
from lwmecps_core.envs.bounds import MET
from lwmecps_core.envs.observation import (
    SCALE_FAILED,
    SCALE_LATENCY_MS,
    SCALE_REPLICAS,
    SCALE_TIMEOUT_MS,
    V2,
    V4,
    version_of,
)
from lwmecps_core.sim.formulas import BOUND
from lwmecps_core.sim.state import home_node, timeout_ms
from lwmecps_core.sim.windows import charge
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.calls import times_called
from lwmecps_core.tasks.money import has_expense, most_priced, most_watts, price_shares, weights

Floats = NDArray[np.float64]


def reward(info: Mapping[str, float]) -> float:
    """The reward: the sum of its reported terms."""
    return sum(value for key, value in info.items() if key.startswith("reward_"))


def measured_info(task: TaskSpec, state: ClusterState, excess: tuple[float, float] = MET) -> dict[str, float]:
    """What every environment reports about an interval (`INFO_KEYS`), the weighted terms of the reward among it;
    `excess` is that over bounds on failures and latency.
    """
    w, capacity, imbalance = weights(task), sum(d.max_replicas for d in task.deployments), float(np.std(state.cpu_used))
    failed, latency = state.failed_share_total, state.latency_ms_mean / task.objective.target_latency_ms
    if task.objective.slo:
        failed, latency = (charge(x) for x in excess)
    replicas, energy = float(state.replicas), 0.0
    if has_expense(task):
        replicas, watts = spent(task, state)
        energy = w.energy * watts / (most_watts(task) or 1.0)
    return {
        "latency_ms": state.latency_ms_mean,
        "latency_p95_ms": state.latency_ms_p95,
        "replicas": float(state.replicas),
        "imbalance": imbalance,
        "failed_share": state.failed_share_total,
        "moves": state.moves,
        "users": state.users,
        "resource_usage": float(np.mean(state.cpu_used)),
        "reward_latency": -w.latency * latency,
        "reward_replicas": -w.replicas * replicas / capacity - energy,
        "reward_imbalance": -w.imbalance * imbalance,
        "reward_sla": -w.sla * failed,
        "reward_moves": -w.moves * state.moves,
    }


def spent(task: TaskSpec, state: ClusterState) -> tuple[float, float]:
    """What the replicas cost, in replicas at the task's price, and the watts that their nodes draw."""
    pods = (state.ready + state.starting).sum(axis=0)
    idle, busy = np.array([(node.idle_watts, node.busy_watts) for node in task.cluster.nodes]).T
    watts = np.where(pods > 0, idle + (busy - idle) * state.cpu_used, 0.0)
    return float(pods @ np.array(price_shares(task))), float(watts.sum())


def observation(
    task: TaskSpec,
    state: ClusterState,
    last: ClusterState | None,
    pod: tuple[int, int] | None,
    excess: tuple[float, float] = MET,
) -> dict[str, NDArray[np.float32]]:
    """The observation's blocks; `last` is the state one interval ago, `pod` v2's pod to place (deployment, node),
    `excess` that over bounds.
    """
    version = version_of(task.env_id)
    blocks = {"global": _global(task, state), "deployment": _deployments(task, state, last)}
    if version in (V2, V4):
        blocks["node"] = _nodes(task, state)
    if version == V4:
        maximum = _max_replicas(task)[:, None]
        counts = [state.ready / maximum, state.desired / maximum, state.pending / maximum]
        blocks["pair"] = np.stack([*counts, state.utilisation], axis=-1)
    if version == V2:
        for axis, name in enumerate(("deployment", "node")):
            mark = np.zeros((len(blocks[name]), 1))
            if pod is not None:
                mark[pod[axis]] = 1.0
            blocks[name] = np.concatenate([blocks[name], mark], axis=1)
    blocks["objective"], blocks["limits"] = _objective(task, excess), _limits(task)
    if has_expense(task):
        blocks["expense"] = _expense(task, state)
        blocks |= {"tariff": _tariff(task)} if version in (V2, V4) else {"home_tariff": _tariff(task)[_homes(task)]}
    if any(d.calls for d in task.deployments):
        times = times_called(task)
        blocks["calls"] = np.log1p(np.stack([times.sum(axis=1), times.sum(axis=0)], axis=1))
    return {name: np.clip(block, -BOUND, BOUND).astype(np.float32) for name, block in blocks.items()}


def _max_replicas(task: TaskSpec) -> Floats:
    return np.array([d.max_replicas for d in task.deployments], np.float64)


def _log_latency(latency_ms: float) -> float:
    return log(latency_ms / SCALE_LATENCY_MS) if latency_ms > 0.0 else 0.0


def _global(task: TaskSpec, state: ClusterState) -> Floats:
    angle = 2.0 * np.pi * state.turn
    share = state.replicas / _max_replicas(task).sum()
    latency = _log_latency(state.latency_ms_mean)
    return np.array([np.sin(angle), np.cos(angle), share, latency, state.failed_share_total])


def _deployments(task: TaskSpec, state: ClusterState, last: ClusterState | None) -> Floats:
    maximum, ready = _max_replicas(task), state.ready.sum(axis=1)
    busy = (state.ready * state.utilisation).sum(axis=1)
    log_rate = np.log1p(state.request_rate)
    change = np.zeros_like(log_rate) if last is None else log_rate - np.log1p(last.request_rate)
    latency = np.array([_log_latency(float(ms)) for ms in state.latency_ms])
    columns = [
        ready / maximum,
        state.desired.sum(axis=1) / maximum,
        state.pending.sum(axis=1) / maximum,
        busy / np.maximum(ready, 1),
        busy / maximum,
        log_rate,
        change,
        latency,
        state.failed_share,
        2.0 + np.log(0.02 + busy / maximum),
        2.0 + np.log(0.02 + ready / maximum),
    ]
    return np.stack(columns, axis=1)


def _objective(task: TaskSpec, excess: tuple[float, float]) -> Floats:
    w, slo = weights(task), task.objective.slo
    written = 0.5 * np.log(0.01 + np.array([w.latency, w.replicas, w.imbalance, w.sla, w.moves]))
    found = np.append(written, log(task.objective.target_latency_ms / SCALE_LATENCY_MS))
    if slo is None:
        return found
    failed = log(slo.failed_share / SCALE_FAILED) if slo.failed_share else BOUND
    p95 = log(slo.latency_p95_ms / SCALE_LATENCY_MS) if slo.latency_p95_ms else BOUND
    return np.append(found, [failed, p95, *excess])


def _limits(task: TaskSpec) -> Floats:
    timeouts = np.array([timeout_ms(task, d) for d in task.deployments])
    return np.log(np.stack([timeouts / SCALE_TIMEOUT_MS, _max_replicas(task) / SCALE_REPLICAS], axis=1))


def _expense(task: TaskSpec, state: ClusterState) -> Floats:
    replicas, watts = spent(task, state)
    weight = 0.5 * log(0.01 + weights(task).energy)
    return np.array([weight, replicas / most_priced(task), watts / (most_watts(task) or 1.0)])


def _tariff(task: TaskSpec) -> Floats:
    watts = np.array([(node.idle_watts, node.busy_watts) for node in task.cluster.nodes])
    return np.column_stack([np.log(price_shares(task)), watts / (watts.max() or 1.0)])


def _homes(task: TaskSpec) -> list[int]:
    return [home_node(task, d) for d in range(len(task.deployments))]


def _nodes(task: TaskSpec, state: ClusterState) -> Floats:
    cpu = np.array([node.cpu_millicores for node in task.cluster.nodes])
    pod_cpu = np.mean([d.cpu_millicores for d in task.deployments])
    room = np.log1p(np.maximum(0.0, 1.0 - state.cpu_requested) * cpu / pod_cpu)
    columns = [
        state.cpu_used,
        state.cpu_requested,
        state.ram_requested,
        state.network,
        np.log1p(state.users_rate),
        room,
    ]
    return np.stack(columns, axis=1)
