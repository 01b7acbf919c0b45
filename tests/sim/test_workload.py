from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.specs import TaskDistribution, WorkloadSpec
from lwmecps_core.tasks.workload import clock_table, users_table
from tests.sim.test_limits import small_task


def table(speedup=1.0, interval_s=10.0, **workload):
    spec = {"base_users": (20.0, 10.0), "share": ((1.0,), (1.0,)), "period_s": 1000.0, "amplitude": 0.5} | workload
    return users_table(replace(small_task(), workload=WorkloadSpec(speedup=speedup, **spec), interval_s=interval_s))


def test_a_period_has_as_many_rows_as_control_intervals():
    assert table().shape == (100, 2)
    assert table(speedup=4.0).shape == (25, 2)
    assert table(interval_s=30.0).shape == (34, 2)


def test_uniform_users_do_not_change():
    assert (table(pattern="uniform") == [20.0, 10.0]).all()


def test_diurnal_users_swing_around_their_base_with_their_phase():
    users = table(pattern="diurnal", phase=(0.0, 0.25))
    assert users[:, 0].argmax() == 25 and users[:, 1].argmax() == 50
    assert users[:, 0].max() == pytest.approx(30.0) and users[:, 0].min() == pytest.approx(10.0)
    assert users.mean(axis=0) == pytest.approx([20.0, 10.0], rel=1e-5)


def test_bursts_are_short_and_rise_above_the_base():
    users = table(pattern="burst")[:, 0]
    assert set(np.unique(users)) == {20.0, 30.0}
    assert (users == 30.0).mean() == pytest.approx(0.25, abs=0.05)


def test_gradual_users_climb_and_descend_once():
    users = table(pattern="gradual")[:, 0]
    rises = np.diff(users) > 0
    assert users[0] == pytest.approx(10.0) and users[50] == pytest.approx(30.0)
    assert rises[:50].all() and not rises[50:].any()


def recorded(columns, step_s, how, interval_s=10.0):
    return table(
        pattern="recorded",
        base_users=(),
        recorded_users=tuple(zip(*columns, strict=True)),
        recorded_step_s=step_s,
        resample=how,
        interval_s=interval_s,
    )


RAMP = ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0), (9.0, 0.0, 9.0, 0.0, 9.0, 0.0))


@pytest.mark.parametrize(
    ("how", "first", "second"),
    [("mean", [0.5, 2.5, 4.5], [4.5] * 3), ("max", [1, 3, 5], [9] * 3), ("sample", [0, 2, 4], [9] * 3)],
)
def test_an_interval_takes_the_mean_the_largest_or_the_first_of_the_recorded_steps_it_covers(how, first, second):
    users = recorded(RAMP, 5.0, how)
    assert users.tolist() == [list(pair) for pair in zip(first, second, strict=True)]


def test_the_mean_is_what_a_recording_is_resampled_by_unless_told_otherwise():
    assert WorkloadSpec(share=((1.0,),)).resample == "mean"
    assert TaskDistribution().resample == "mean"


@pytest.mark.parametrize("step_s", [10.0, 3.0, 7.0, 25.0, 60.0])
def test_the_mean_loses_no_request_whatever_the_steps(step_s):
    columns = np.random.default_rng(1).uniform(0.0, 2.5e4, (2, 70))
    users = recorded(columns, step_s, "mean").astype(np.float64)
    seconds = np.minimum(10.0, 70 * step_s - 10.0 * np.arange(len(users)))
    assert (users * seconds[:, None]).sum(0) == pytest.approx(columns.sum(1) * step_s, rel=1e-6)


def test_steps_as_long_as_an_interval_are_taken_as_they_are_and_longer_ones_last():
    for how in ("mean", "max", "sample"):
        assert recorded(RAMP, 10.0, how)[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert recorded(RAMP, 25.0, "sample")[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5]
    assert recorded(RAMP, 25.0, "max")[:, 0].tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5]
    assert recorded(RAMP, 25.0, "mean")[:5, 0].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_the_clock_turns_once_in_a_period():
    clock = clock_table(replace(small_task(), workload=replace(small_task().workload, period_s=400.0)))
    assert clock.shape == (40, 2)
    assert clock[0].tolist() == [0.0, 1.0]
    assert clock[10] == pytest.approx([1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "workload", "named"),
    [
        ({}, {"speedup": 1e-9}, "workload.period_s, speedup"),
        ({}, {"period_s": 1e15}, "workload.period_s"),
        ({"interval_s": 1e-8}, {"period_s": 1e-3}, "interval_s: .* intervals of starting"),
        (
            {},
            {"pattern": "recorded", "recorded_users": ((1.0, 1.0),) * 50, "recorded_step_s": 1e9},
            "workload.recorded_users",
        ),
    ],
)
def test_a_task_that_would_take_all_memory_is_refused(changes, workload, named):
    with pytest.raises(ValueError, match=named):
        small_task(workload=workload, **changes)


def test_a_distribution_of_tasks_that_would_take_all_memory_is_refused():
    with pytest.raises(ValueError, match="nodes x deployments"):
        TaskDistribution(nodes=1000, deployments=1000, max_replicas=1000)
