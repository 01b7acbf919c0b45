"""What rollouts say about a method: rows of the result table, and the time series of one episode."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.batch import INFO_KEYS, Array, RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.observation import SCALE_LATENCY_MS, split
from lwmecps_core.results import Row
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.money import has_expense
from lwmecps_core.training.accounting import bill

Floats = NDArray[np.float64]
MOST_SERIES = 64
"""Deployments, or pairs of deployments and nodes, that a trace tells apart."""


def rows(
    batches: Sequence[RolloutBatch],
    task_names: Sequence[str],
    method: str,
    inner_steps: int = 0,
    env_steps: int = 0,
    wall_s: float = 0.0,
    *,
    episode: int = 1,
    support: Sequence[float | None] = (),
    tasks: Sequence[TaskSpec] = (),
) -> list[Row]:
    """One row per batch (a task each): means over its episodes; see `Row`. Given the tasks, rows say what they cost.

    `env_steps` and `wall_s` are those of one task. Latencies and failures are weighted by users, that is by requests;
    the 95th percentile is the intervals' own, averaged so. `support` are each task's mean rewards before that.
    """
    measured = [
        _row(batch, task, method, inner_steps, env_steps, wall_s)
        for batch, task in zip(batches, task_names, strict=True)
    ]
    before = support or [None] * len(measured)
    found = [replace(r, episode=episode, support_reward_mean=s) for r, s in zip(measured, before, strict=True)]
    if not any(map(_priced, tasks)):
        return found
    return [replace(r, **asdict(bill(b, t))) for r, b, t in zip(found, batches, tasks, strict=True)]


def signed(batches: Sequence[RolloutBatch], tasks: Sequence[TaskSpec]) -> dict[str, float]:
    """The metrics of one collection that an operator signs, where tasks have prices or bounds: `cost_per_hour`,
    `violation_share`, `moves_per_hour` and `power_w`, means over tasks.
    """
    if not any(map(_priced, tasks)):
        return {}
    bills = [bill(batch, task) for batch, task in zip(batches, tasks, strict=True)]
    names = ("cost_per_hour", "violation_share", "moves_per_hour", "power_w")
    found = {name: [getattr(b, name) for b in bills] for name in names}
    return {name: float(np.mean(values)) for name, values in found.items() if None not in values}


def _priced(task: TaskSpec) -> bool:
    """Whether a task has prices, bounds or power; tasks of other environments than ours have none of them."""
    return isinstance(task, TaskSpec) and bool(task.prices or task.objective.slo or has_expense(task))


def summary(batches: Sequence[RolloutBatch]) -> dict[str, float]:
    """The metrics of one collection: per episode `total_reward` and `steps`, per interval `latency` (ms),
    `resource_usage` and `pod_count`, each a mean over all transitions.
    """
    valid = np.concatenate([b.valid.ravel() for b in batches]).astype(np.float64)
    episodes = sum(max(int(_ends(b).sum()), b.width) for b in batches)

    def mean(key: str) -> float:
        values = np.concatenate([b.info[key].ravel() for b in batches]).astype(np.float64)
        return float(values @ valid / valid.sum())

    return {
        "total_reward": float(sum(b.reward.sum(dtype=np.float64) for b in batches) / episodes),
        "steps": float(valid.sum() / episodes),
        "latency": mean("latency_ms"),
        "resource_usage": mean("resource_usage"),
        "pod_count": mean("replicas"),
    }


def trace(batch: RolloutBatch, task: TaskSpec) -> dict[str, tuple[float, ...]]:
    """The first episode as time series, one value per interval: `reward`, every quantity of `INFO_KEYS`, and, on
    clusters of at most `MOST_SERIES` deployments, what each of them did.

    That is `NAME/ready` replicas, `NAME/rate` (requests/s), `NAME/latency_ms` (0 without requests) and
    `NAME/failed_share`; in v4 also `NAME/NODE/ready`, where that many pairs are.
    """
    steps = batch.valid[:, 0]
    ends = np.flatnonzero(_ends(batch)[:, 0])
    length = int(ends[0]) + 1 if len(ends) else batch.length
    series = {"reward": batch.reward[:, 0], **{key: batch.info[key][:, 0] for key in INFO_KEYS}}
    series |= _of_deployments(batch.obs[1:, 0], task)
    return {key: tuple(values[:length][steps[:length]].tolist()) for key, values in series.items()}


def _of_deployments(obs: Array, task: TaskSpec) -> dict[str, NDArray[Any]]:
    """Series by deployment from observations `[T, O]`."""
    blocks = split(np.asarray(obs, np.float32), env_spec(task))
    found: dict[str, NDArray[Any]] = {}
    if len(task.deployments) > MOST_SERIES:
        return found
    for d, deployment in enumerate(task.deployments):
        of = blocks["deployment"][:, d].astype(np.float64)
        latency_ms = np.where(of[:, 7] == 0.0, 0.0, SCALE_LATENCY_MS * np.exp(of[:, 7]))
        named = {"ready": of[:, 0] * deployment.max_replicas, "rate": np.expm1(of[:, 5])}
        named |= {"latency_ms": latency_ms, "failed_share": of[:, 8]}
        found |= {f"{deployment.name}/{name}": values for name, values in named.items()}
    if "pair" in blocks and len(task.deployments) * len(task.cluster.nodes) <= MOST_SERIES:
        for d, deployment in enumerate(task.deployments):
            for n, node in enumerate(task.cluster.nodes):
                ready = blocks["pair"][:, d, n, 0].astype(np.float64) * deployment.max_replicas
                found[f"{deployment.name}/{node.name}/ready"] = ready
    return found


def load_correlation(replicas: Floats, users: Floats, valid: NDArray[np.bool_]) -> float:
    """Pearson's correlation over time of `[T, B]` series, averaged over episodes; 0 where one of them is constant."""
    values = []
    for b in range(replicas.shape[1]):
        x, y = replicas[valid[:, b], b], users[valid[:, b], b]
        constant = len(x) < 2 or x.std() < 1e-9 or y.std() < 1e-9
        values.append(0.0 if constant else float(np.corrcoef(x, y)[0, 1]))
    return float(np.mean(values))


def _ends(batch: RolloutBatch) -> NDArray[np.bool_]:
    return batch.terminated.astype(np.bool_) | batch.truncated.astype(np.bool_)


def _row(batch: RolloutBatch, task: str, method: str, inner_steps: int, env_steps: int, wall_s: float) -> Row:
    valid = batch.valid.astype(np.bool_)
    info = {key: batch.info[key].astype(np.float64) for key in INFO_KEYS}
    users = np.where(valid, info["users"], 0.0)

    def by_users(key: str) -> float:
        return float((info[key] * users).sum() / max(users.sum(), 1e-12))

    # An episode that ends early is followed by another one in the same column.
    episodes = max(int(_ends(batch).sum()), batch.width)
    return Row(
        task=task,
        method=method,
        inner_steps=inner_steps,
        reward=float(np.where(valid, batch.reward, 0.0).sum(dtype=np.float64) / episodes),
        latency_mean_ms=by_users("latency_ms"),
        latency_p95_ms=by_users("latency_p95_ms"),
        replicas_mean=float(info["replicas"][valid].mean()),
        sla_miss_share=by_users("failed_share"),
        moves_mean=float(info["moves"][valid].mean()),
        load_correlation=load_correlation(info["replicas"], info["users"], valid),
        env_steps=env_steps,
        wall_s=wall_s,
    )
