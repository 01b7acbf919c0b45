from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import ALL_ENV_IDS, FAMILIES, TaskDistribution, TaskSpec
from lwmecps_core.tasks import city
from lwmecps_core.tasks.families import RANGES, draw
from lwmecps_core.tasks.profiles import synthetic
from lwmecps_core.tasks.workload import users_table


def load(task: TaskSpec) -> np.ndarray:
    """Pods of each deployment that its own users keep busy at the pattern's highest point."""
    w = task.workload
    base = np.array(w.base_users) if w.base_users else np.quantile(w.recorded_users, 0.95, axis=0)
    peak = base * (1 + w.amplitude) if w.base_users else base
    service_s = [d.cpu_time_ms / min(1.0, d.cpu_millicores / 1e3) / 1e3 for d in task.deployments]
    return np.array(w.share).T @ peak / w.request_interval_s * service_s


@given(
    seed=st.integers(0, 2**64 - 1),
    family=st.sampled_from(FAMILIES),
    env_id=st.sampled_from(ALL_ENV_IDS),
    nodes=st.integers(1, 6),
    deployments=st.integers(1, 6),
    max_replicas=st.integers(1, 20),
)
@settings(max_examples=80, deadline=None)
def test_every_seed_of_every_family_draws_a_valid_task_of_its_environment(
    seed, family, env_id, nodes, deployments, max_replicas
):
    distribution = TaskDistribution(
        family=family, env_id=env_id, nodes=nodes, deployments=deployments, max_replicas=max_replicas
    )
    task = draw(distribution, seed)
    assert isinstance(task, TaskSpec)
    assert (task.family, task.env_id, task.horizon) == (family, env_id, 120)
    assert (len(task.cluster.nodes), len(task.deployments)) == (nodes, deployments)
    assert {d.max_replicas for d in task.deployments} == {max_replicas}
    home = "v1" in env_id or "v3" in env_id
    assert all(len(d.allowed_nodes) == (1 if home else 0) for d in task.deployments)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_draws_the_same_task_again_and_another_seed_another_one(family):
    d = TaskDistribution(family=family)
    assert draw(d, 7) == draw(d, 7)
    assert draw(d, 7) != replace(draw(d, 8), name=draw(d, 7).name)


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_hidden_differs_between_the_tasks_of_a_family(family):
    tasks = [draw(TaskDistribution(family=family), seed) for seed in range(40)]
    hidden = {
        "cpu_time_ms": [t.deployments[0].cpu_time_ms for t in tasks],
        "cpu_time_cv": [t.deployments[0].cpu_time_cv for t in tasks],
        "startup_s": [t.deployments[0].startup_s for t in tasks],
        "timeout_ms": [t.deployments[0].timeout_ms for t in tasks],
        "rtt_ms": [t.cluster.rtt_ms[0][1] for t in tasks],
        "latency": [t.objective.latency for t in tasks],
        "replicas": [t.objective.replicas for t in tasks],
        "imbalance": [t.objective.imbalance for t in tasks],
        "sla": [t.objective.sla for t in tasks],
        "moves": [t.objective.moves for t in tasks],
        "target_latency_ms": [t.objective.target_latency_ms for t in tasks],
    }
    for name, values in hidden.items():
        assert len(set(values)) > 35, name
        assert np.std(values) > 0.1 * np.mean(values), name


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_sum_to_one_so_that_rewards_are_comparable(family):
    for seed in range(20):
        o = draw(TaskDistribution(family=family), seed).objective
        assert o.latency + o.replicas + o.imbalance + o.sla + o.moves == pytest.approx(1.0)


def test_the_price_of_a_replica_against_latency_spans_two_orders_of_magnitude():
    objectives = [draw(TaskDistribution(), seed).objective for seed in range(200)]
    price = np.array([o.replicas / o.latency for o in objectives])
    assert price.max() / price.min() > 100


def test_peak_demand_of_a_city_fits_its_replicas():
    for seed in range(50):
        pods = load(draw(TaskDistribution(), seed))
        assert 0.3 <= pods.mean() <= 5.0
        assert pods.max() <= RANGES.busiest_share * 8 + 1e-6


def test_stations_keep_their_distance_and_links_their_range():
    rng = np.random.default_rng(1)
    points, distance_km = city.stations(rng, 40, RANGES.geometry)
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    assert apart[~np.eye(40, dtype=bool)].min() >= distance_km > 0
    rtt = city.round_trips(rng, points, RANGES.geometry)
    assert (rtt == rtt.T).all() and (np.diag(rtt) == 0).all()
    low, high = RANGES.geometry.rtt_ms
    assert rtt[~np.eye(40, dtype=bool)].min() >= low and rtt.max() <= high


def test_users_fail_over_to_stations_in_the_order_of_their_round_trips():
    task = draw(TaskDistribution(), 3)
    for m, order in enumerate(task.workload.failover):
        assert order[0] == m
        assert sorted(order, key=lambda d: task.cluster.rtt_ms[m][d]) == list(order)


def test_recorded_users_are_the_load_of_any_family_that_is_given_them():
    rng = np.random.default_rng(0)
    users = rng.integers(5, 30, (60, 4)).astype(float)
    d = TaskDistribution(family="load_profile", recorded_users=tuple(map(tuple, users.tolist())), recorded_step_s=5.0)
    w = draw(d, 1).workload
    assert w.pattern == "recorded" and w.arrivals == "burst" and w.recorded_step_s == 5.0
    drawn = np.array(w.recorded_users)
    assert drawn.shape == users.shape
    # Each station's recording, moved in time and scaled: the same shape, so the same coefficient of variation.
    spread = lambda x: sorted(x.std(0) / x.mean(0))  # noqa: E731
    assert spread(drawn) == pytest.approx(spread(users), rel=1e-3)
    ratio = np.sort(drawn.mean(0)) / np.sort(users.mean(0))
    assert (ratio > 0.6).all() and (ratio < 1.4).all()
    assert draw(replace(d, family="mec_city"), 1).workload.pattern == "recorded"


def test_synthetic_load_has_the_statistics_of_the_recordings():
    users = synthetic(np.random.default_rng(0), 4)
    assert users.shape == (8640, 4)
    assert users.mean() == pytest.approx(16.5, abs=3)
    hourly = users.mean(1).reshape(24, 360).mean(1)
    assert hourly.argmin() in (5, 6) and hourly.argmax() in (20, 21)


def test_what_a_family_is_told_is_not_drawn():
    scaling = TaskDistribution(family="kubernetes_scaling", max_pods=5, cpu_requirement=300.0, memory_requirement=200.0)
    balancing = TaskDistribution(family="load_balancing", traffic_pattern="gradual", latency_threshold=321.0)
    saving = TaskDistribution(family="resource_optimization", optimization_target="cpu", constraint_weight=0.0)
    for seed in range(5):
        task = draw(scaling, seed)
        assert {(d.cpu_millicores, d.ram_mib) for d in task.deployments} == {(300.0, 200.0)}
        assert {int(n.cpu_millicores / 300.0) for n in task.cluster.nodes} == {5}
        task = draw(balancing, seed)
        assert (task.workload.pattern, task.objective.target_latency_ms) == ("gradual", 321.0)
        assert draw(saving, seed).objective.sla == 0.0


def test_a_parameter_of_another_family_is_refused():
    with pytest.raises(InvalidInput, match="latency_threshold is a parameter of load_balancing"):
        parse(TaskDistribution, {"family": "mec_city", "latency_threshold": 100.0}, "request")


RECORDED = TaskDistribution(family="load_profile", nodes=2, deployments=2)


def test_a_recording_that_is_sampled_keeps_just_the_steps_that_control_intervals_look_at() -> None:
    ramp = tuple((float(t), float(2 * t)) for t in range(8640))
    task = draw(replace(RECORDED, recorded_users=ramp, resample="sample"), 3)
    kept = np.array(task.workload.recorded_users)
    assert kept.shape == (120, 2) and task.workload.recorded_step_s == 720.0
    np.testing.assert_allclose(users_table(task), kept, rtol=1e-6)
    steps = np.diff(kept, axis=0) / np.diff(kept, axis=0).max(axis=0)
    assert ((steps > 0.99).sum(axis=0) >= 118).all(), "every 72nd recorded step, over the end of the day once"


@pytest.mark.parametrize("step_s", [10.0, 7.0])
def test_a_recording_of_which_intervals_take_the_mean_keeps_every_request(step_s) -> None:
    flickers = tuple((float(t % 2 * 40), 20.0) for t in range(8640))
    task = draw(replace(RECORDED, recorded_users=flickers, recorded_step_s=step_s), 3)
    users = users_table(task)
    assert users.std(axis=0) == pytest.approx([0.0, 0.0], abs=0.2)
    scales = users.mean(0) / 20.0
    assert (scales > 0.69).all() and (scales < 1.31).all()


def test_recorded_users_of_another_interval_send_so_many_times_fewer_requests() -> None:
    users = ((20.0, 10.0),) * 12
    one, sixty = (
        draw(TaskDistribution(nodes=2, deployments=2, recorded_users=users, recorded_request_interval_s=s), 5)
        for s in (1.0, 60.0)
    )
    assert one.workload.recorded_users == sixty.workload.recorded_users
    assert (one.workload.request_interval_s, sixty.workload.request_interval_s) == (1.0, 60.0)


def test_recorded_users_ask_the_stations_that_they_asked_wherever_these_have_gone() -> None:
    # Station 0 asks its own server only, the busier station 1 that of station 0 first, station 2 its own, then 1's.
    users, order = ((1.0, 1000.0, 1e6),) * 6, ((0,), (0, 1), (2, 1))
    for seed in range(12):
        d = TaskDistribution(nodes=3, deployments=3, recorded_users=users, recorded_failover=order)
        w = draw(d, seed).workload
        a, b, c = np.argsort(np.array(w.recorded_users)[0]).tolist()
        assert (w.failover[a], w.failover[b], w.failover[c]) == ((a,), (a, b), (c, b))
        assert np.argmax(np.array(w.share), axis=1)[[a, b, c]].tolist() == [a, a, c]


def test_failover_that_fits_no_recording_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one row per node"):
        parse(TaskDistribution, {"nodes": 2, "recorded_users": [[1, 2]], "recorded_failover": [[0], [2]]}, "request")
    with pytest.raises(InvalidInput, match="no recorded_users"):
        parse(TaskDistribution, {"recorded_request_interval_s": 5.0}, "request")
