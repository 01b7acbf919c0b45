"""Six workloads on clusters of the city, each with bounds and prices that an operator could have written."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.seeding import generator
from lwmecps_core.specs import EnvId, ObjectiveSpec, PricesSpec, SloSpec, TaskDistribution, TaskSpec, WorkloadSpec
from lwmecps_core.tasks import profiles
from lwmecps_core.tasks.families import draw

Floats = NDArray[np.float64]
PRICES = PricesSpec(replica_hour=0.04, move=0.0005)
BOUNDS = SloSpec(failed_share=0.02, window=12, allowed=0.05)
"""2 % of the requests of two minutes may fail, in one of twenty such windows; see `TIMES_TARGET`."""
TIMES_TARGET = 4.0
"""Bound on the 95th percentile: times the target latency of the family, some eight service times."""
STEP_S = 720.0
"""Of recorded users: what passes of a day in a control interval."""
EVERY_ENV_ID = tuple(env_id for env_id in get_args(EnvId) if env_id in ("lwmecps-v3", "lwmecps-v4"))


def steady(w: WorkloadSpec, rng: np.random.Generator) -> dict[str, Any]:
    """As many users as there are on average, all the time."""
    return {"pattern": "uniform"}


def diurnal(w: WorkloadSpec, rng: np.random.Generator) -> dict[str, Any]:
    """A day, as the family draws it."""
    return {}


def bursty(w: WorkloadSpec, rng: np.random.Generator) -> dict[str, Any]:
    """Six bursts a day, a quarter of the time each, at other moments at every station."""
    return {"pattern": "burst", "phase": tuple(rng.random(len(w.base_users)).tolist())}


def flash_crowd(w: WorkloadSpec, rng: np.random.Generator) -> dict[str, Any]:
    """Few users, then at once all of the peak's, who go again within an hour or so of the day."""
    steps, base = np.arange(120), np.array(w.base_users)
    since = steps - int(rng.integers(20, 80))
    crowd = np.where(since < 0, 0.0, np.minimum(1.0, (since + 1) / 2) * np.exp(-np.maximum(since, 0) / 15.0))
    return _recorded(base * 0.4 + crowd[:, None] * base * (0.6 + w.amplitude))


def ramp(w: WorkloadSpec, rng: np.random.Generator) -> dict[str, Any]:
    """From a fifth of the users to the peak over the whole episode."""
    base = np.array(w.base_users)
    return _recorded(base * (0.2 + (0.8 + w.amplitude) * np.linspace(0.0, 1.0, 120)[:, None]))


def recorded(w: WorkloadSpec, rng: np.random.Generator) -> dict[str, Any]:
    """A day with the statistics of recorded stations, scaled to the station's users."""
    users = profiles.synthetic(rng, len(w.base_users))
    found = users[:: profiles.SYNTHETIC_STEPS // 120] * np.array(w.base_users) / users.mean(0)
    return _recorded(found) | {"random_start": True}


WORKLOADS: Mapping[str, Callable[[WorkloadSpec, np.random.Generator], dict[str, Any]]] = {
    "steady": steady,
    "diurnal": diurnal,
    "bursty": bursty,
    "flash crowd": flash_crowd,
    "ramp": ramp,
    "recorded": recorded,
}


def tasks(workload: str, env_id: EnvId, count: int, first_seed: int, nodes: int = 4) -> tuple[TaskSpec, ...]:
    """Tasks of a workload: those that `first_seed` and the seeds after it draw."""
    city = TaskDistribution(env_id=env_id, nodes=nodes, deployments=nodes)
    return tuple(_task(workload, draw(city, seed), seed) for seed in range(first_seed, first_seed + count))


def _task(workload: str, task: TaskSpec, seed: int) -> TaskSpec:
    changed = WORKLOADS[workload](task.workload, generator(seed))
    bounds = replace(BOUNDS, latency_p95_ms=TIMES_TARGET * task.objective.target_latency_ms)
    objective = ObjectiveSpec(target_latency_ms=task.objective.target_latency_ms, slo=bounds)
    name = f"{workload.replace(' ', '-')}-{seed}"
    return replace(
        task, name=name, workload=replace(task.workload, **changed), objective=objective, prices=PRICES, family=""
    )


def _recorded(users: Floats) -> dict[str, Any]:
    rows = tuple(tuple(row) for row in np.round(users, 3).tolist())
    return {
        "pattern": "recorded",
        "recorded_users": rows,
        "recorded_step_s": STEP_S,
        "base_users": (),
        "phase": (),
        "random_start": False,
    }
