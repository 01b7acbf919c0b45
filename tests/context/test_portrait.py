"""A cluster of any size as a row of fixed length."""

from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.context.portrait import FARTHEST, portraits, quantities, standardised
from lwmecps_core.context.showing import slopes
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.remembered import WithContext
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import RANGES, draw
from lwmecps_core.tasks.fleets import WIDTH, fleet
from lwmecps_core.training.metric import fleet_tasks, watched

CITY = TaskDistribution(nodes=3, deployments=2, horizon=40)


def _remembered(task: TaskSpec, intervals: int):  # type: ignore[no-untyped-def]
    env = BatchEnv([task], [0])
    statistics = Statistics(env.spec)
    seen = WithContext(env, statistics, statistics.begin(1))
    seen.reset(np.array([3], np.uint64))
    for _ in range(intervals):
        seen.step(np.full((1, env.spec.action_size), 4, np.int32))
    return seen.memory


def _row(task: TaskSpec, intervals: int = 20) -> dict[tuple[str, str, str], float]:
    memory = _remembered(task, intervals)
    row = portraits(memory, [[d.max_replicas for d in task.deployments]])[0]
    return {(q.source.about, q.source.what, q.pool): x for q, x in zip(quantities(), row, strict=True)}


@pytest.mark.parametrize("env_id", ["lwmecps-v1", "lwmecps-v3", "lwmecps-v4"])
def test_clusters_of_every_version_and_size_have_rows_of_one_length(env_id: str) -> None:
    for nodes, deployments in ((1, 1), (3, 2), (2, 5)):
        size = replace(CITY, env_id=env_id, nodes=nodes, deployments=deployments)
        assert len(_row(draw(size, 1), 3)) == len(quantities())


def test_numbers_are_those_of_a_slow_reference() -> None:
    task = draw(replace(CITY, env_id="lwmecps-v4"), 2)
    memory, row = _remembered(task, 20), _row(task)
    known = Statistics.known(memory)
    service = [
        1000.0 * known.work[0, d, 0] * p.max_replicas / known.work[0, d, 1] for d, p in enumerate(task.deployments)
    ]
    slow = [float(np.log(x)) for x in service]
    pools = {"typical": np.mean(slow), "spread": np.std(slow), "least": min(slow), "most": max(slow)}
    for pool, expected in pools.items():
        assert row["deployments", "service time", pool] == pytest.approx(expected)
    swing = [float(np.hypot(*slopes(known, 0, d))) for d in range(2)]
    assert row["deployments", "daily swing of load", "typical"] == pytest.approx(np.mean(swing))
    assert row["nodes", "CPU used", "most"] == pytest.approx(known.node[0, :, 1].max())
    main = [known.pair[0, d, :, 0].max() / known.pair[0, d, :, 0].sum() for d in range(2)]
    assert row["deployments", "replicas on the main node", "least"] == pytest.approx(min(main))
    price = -known.terms[0, 1] / known.overall[0, 0]
    assert row["cluster", "price of all replicas", ""] == pytest.approx(np.log(1e-3 + price))


def test_the_order_of_deployments_and_nodes_changes_nothing() -> None:
    task = draw(replace(CITY, env_id="lwmecps-v4", deployments=3), 2)
    memory, limits = _remembered(task, 20), np.array([[d.max_replicas for d in task.deployments]])
    order = np.array([2, 0, 1])
    of_deployments = {"serving", "times", "load", "load_range", "work", "latency", "failed", "utilisation", "pair"}
    turned = {name: x[:, order] if name in of_deployments else x for name, x in memory.items()}
    turned["node"], turned["pair"] = turned["node"][:, order], turned["pair"][:, :, order]
    np.testing.assert_allclose(portraits(turned, limits[:, order]), portraits(memory, limits), rtol=1e-12)


def test_nothing_is_known_where_nothing_was_seen_and_what_is_shown_nowhere_stays_unknown() -> None:
    assert all(np.isnan(x) for x in _row(draw(CITY, 1), 0).values())
    row = _row(draw(CITY, 1), 5)
    assert np.isnan(row["nodes", "CPU used", "typical"]) and np.isfinite(row["cluster", "latency", ""])


def test_standardised_numbers_are_about_one_on_clusters_that_scales_were_not_measured_on() -> None:
    tasks = [fleet(TaskDistribution(), 77_000 + i).task(i) for i in range(48)]
    rows = standardised(watched(tasks, (20,), 9)[20])
    spread = np.array([np.nanstd(x) for x in rows.T if np.isfinite(x).any()])
    assert np.nanmax(np.abs(rows)) <= FARTHEST
    assert 0.5 < np.median(spread) < 1.5 and (spread < 2.5).all()


def test_words_have_units() -> None:
    said = {(q.source.what, q.source.about, q.pool): q for q in quantities()}
    assert said["service time", "deployments", "typical"].said(float(np.log(120.0))) == "120 ms"
    assert said["service time", "deployments", "spread"].said(float(np.log(1.5))) == "× 1.5"
    assert said["failed requests", "cluster", ""].said(0.025) == "2.5 %"
    assert said["load", "deployments", "most"].said(float(np.log1p(12.0))) == "12 requests/s"
    assert said["latency", "cluster", ""].said(float("nan")) == "not known"


def test_a_fleet_takes_a_part_of_every_range_and_its_seed_says_which() -> None:
    one, again, other = (fleet(CITY, seed) for seed in (4, 4, 5))
    assert one == again and one != other
    low, high = one.ranges.peak_pods
    whole = np.diff(np.log(RANGES.peak_pods))[0]
    assert np.log(high / low) == pytest.approx(WIDTH * whole) and RANGES.peak_pods[0] <= low < high <= 4.0 + 1e-9
    assert one.ranges.geometry != RANGES.geometry and one.ranges.service_spread == RANGES.service_spread
    assert one.task(1) == one.task(1) and one.task(1) != one.task(2)
    families = {fleet(CITY, seed).distribution.family for seed in range(40)}
    assert len(families) == 5


def test_clusters_of_a_fleet_are_nearer_to_one_another_than_to_others() -> None:
    rows = standardised(watched(fleet_tasks(TaskDistribution(), range(6), 4), (20,), 1)[20]).reshape(6, 4, -1)
    rows = np.nan_to_num(rows)
    inside = np.mean([np.linalg.norm(a[i] - a[j]) for a in rows for i in range(4) for j in range(i)])
    outside = np.mean([np.linalg.norm(rows[a, 0] - rows[b, 0]) for a in range(6) for b in range(a)])
    assert inside < outside
