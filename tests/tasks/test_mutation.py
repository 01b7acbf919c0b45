"""Edits of tasks: valid, of one thing, within what a family draws, and the same for the same seed."""

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwmecps_core.config import dump, parse
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.specs import FAMILIES, SloSpec, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import RANGES, draw
from lwmecps_core.tasks.mutation import EDITS, edited

R = RANGES
NAMES = ("latency", "replicas", "imbalance", "sla", "moves")


def _quantities(task: TaskSpec) -> dict[str, tuple[tuple[float, ...], tuple[float, float]]]:
    """What edits change: values, and the range that the family draws them from."""
    o, d, w = task.objective, task.deployments, task.workload
    deployed = sum(p.initial_replicas for p in d) / sum(p.max_replicas for p in d)
    off = [x for i, row in enumerate(task.cluster.rtt_ms) for j, x in enumerate(row) if i != j]
    burst = task.workload.arrivals == "burst"
    return {
        "service": (
            tuple(p.cpu_time_ms / min(1.0, p.cpu_millicores / 1e3) for p in d),
            R.burst_service_ms if burst else R.service_ms,
        ),
        "variation": (tuple(p.cpu_time_cv for p in d), R.cpu_time_cv),
        "startup": (tuple(p.startup_s for p in d), R.startup_s),
        "users": (w.base_users, R.geometry.station_users),
        "day": (w.phase, (0.0, 1.0)),
        "links": (tuple(off), R.geometry.rtt_ms),
        "price_of_replicas": ((o.replicas / o.latency,), R.weight_replicas),
        "price_of_failures": ((o.sla / (o.latency + o.replicas * deployed),), R.weight_sla),
    }


@given(
    seed=st.integers(0, 2**63 - 1),
    edits=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=16),
    family=st.sampled_from(FAMILIES),
    env_id=st.sampled_from(("lwmecps-v1", "lwmecps-v3", "lwmecps-v4", "lwmecps-v3-continuous")),
    nodes=st.integers(1, 5),
    deployments=st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_edits_of_edits_are_valid_tasks_of_the_same_environment_within_the_familys_ranges(
    seed: int, edits: list[int], family: str, env_id: str, nodes: int, deployments: int
) -> None:
    source = TaskDistribution(family=family, env_id=env_id, nodes=nodes, deployments=deployments)  # type: ignore[arg-type]
    task = draw(source, seed)
    child = reduce(edited, edits, task)
    assert parse(TaskSpec, dump(child), "task") == child == reduce(edited, edits, task)
    assert env_spec(child) == env_spec(task) and child.family == task.family
    assert child.name == f"{task.name}.{edits[-1]}"
    assert sum(getattr(child.objective, n) for n in NAMES) == pytest.approx(1.0)
    assert all(d.timeout_ms > 0 for d in child.deployments)
    before = _quantities(task)
    for name, (values, (low, high)) in _quantities(child).items():
        least, most = min((*before[name][0], low)), max((*before[name][0], high))
        assert all(least * (1 - 1e-9) - 1e-3 <= x <= most * (1 + 1e-9) + 1e-3 for x in values), name


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_what_it_is_called_after_and_nothing_else(name: str) -> None:
    for seed in range(20):
        task = draw(TaskDistribution(), seed)
        changed = EDITS[name](task, np.random.default_rng(seed), R)
        before, after = _quantities(task), _quantities(changed)
        differ = {q for q in before if not np.allclose(before[q][0], after[q][0], rtol=1e-9)}
        assert differ <= {name}
        if name != "users":  # more users than the deployments can serve are no edit
            assert differ == {name} or name in ("links", "price_of_failures", "service", "price_of_replicas")


def test_users_are_never_more_than_deployments_can_serve() -> None:
    for seed in range(60):
        task = draw(TaskDistribution(), seed)
        for name in ("users", "service"):
            child = task
            for i in range(8):
                child = EDITS[name](child, np.random.default_rng((seed, i)), R)
            w = child.workload
            peak = np.array(w.share).T @ (np.array(w.base_users) * (1 + w.amplitude)) / w.request_interval_s
            busy = [
                rate * d.cpu_time_ms / min(1.0, d.cpu_millicores / 1e3) / 1e3 / d.max_replicas
                for rate, d in zip(peak, child.deployments, strict=True)
            ]
            assert max(busy) <= max(R.busiest_share, 0.5 / 8) * 1.02


def test_requests_turn_to_the_nearest_station_of_the_edited_city() -> None:
    for seed in range(20):
        task = draw(TaskDistribution(), seed)
        child = EDITS["links"](task, np.random.default_rng(seed), R)
        assert child.workload.failover == tuple(
            tuple(sorted(range(4), key=lambda d, row=row: row[d]))  # type: ignore[misc]
            for row in child.cluster.rtt_ms
        )
        assert child.workload.share == task.workload.share


def test_bounds_and_recorded_load_are_left_alone() -> None:
    source = TaskDistribution(family="load_profile", slo=SloSpec(failed_share=0.01))
    task = draw(source, 1)
    for seed in range(40):
        child = edited(task, seed)
        assert child.objective == task.objective and child.workload.recorded_users == task.workload.recorded_users
    one = draw(replace(source, nodes=1, deployments=1), 1)
    assert all(edited(one, seed).cluster == one.cluster for seed in range(20))
