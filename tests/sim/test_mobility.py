"""Users who move between stations."""

from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.specs import MobilitySpec
from lwmecps_core.tasks.mobility import moved
from lwmecps_core.tasks.workload import users_in_a_turn, users_table
from tests.sim.random_tasks import random_task

RTT = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
LOAD = 50.0 + 40.0 * np.sin(2.0 * np.pi * (np.arange(120)[:, None] / 120.0 - np.arange(4) / 8.0))


def task(mobility):
    made = random_task(3, nodes=4, deployments=2)
    workload = replace(made.workload, pattern="diurnal", period_s=1200.0, mobility=mobility)
    return replace(made, workload=workload, interval_s=10.0)


def test_nobody_is_lost_on_the_way():
    found = moved(LOAD, RTT, MobilitySpec(leave=0.3))
    np.testing.assert_allclose(found.sum(1), LOAD.sum(1))
    assert (found >= 0.0).all() and np.abs(found - LOAD).max() > 5.0


def test_who_never_leaves_is_where_the_load_has_them():
    np.testing.assert_allclose(moved(LOAD, RTT, MobilitySpec(leave=0.0)), LOAD)
    np.testing.assert_array_equal(moved(LOAD[:, :1], RTT[:1, :1], MobilitySpec()), LOAD[:, :1])


def test_users_go_to_near_stations_and_come_back():
    crowd = np.zeros_like(LOAD)
    crowd[:, 0] = 100.0
    near = moved(crowd, RTT, MobilitySpec(leave=0.1, come_back=0.5, neighbours=1))
    assert (near[:, 2:] == 0.0).all() and 2.0 < near[:, 1].mean() < 20.0
    # In the steady state as many leave as come back: x leave = (1 - x) come_back, all of whom then leave again.
    wide = [moved(crowd, RTT, MobilitySpec(leave=0.1, come_back=c))[:, 0].mean() for c in (0.1, 0.5, 1.0)]
    assert wide == sorted(wide) and wide[2] == pytest.approx(90.0, abs=2.0)


def test_moves_are_drawn_from_their_seed_and_go_on_where_the_load_begins_again():
    one, same, other = (moved(LOAD, RTT, MobilitySpec(leave=0.1, seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1.0
    jumps = np.abs(np.diff(np.concatenate([one, one[:1]]), axis=0)).max(1)
    assert jumps[-1] <= 1.5 * jumps[:-1].max()


def test_the_table_of_a_task_has_moved_users_and_so_has_a_turn_of_the_clock():
    still, moving = task(None), task(MobilitySpec(leave=0.3, seed=4))
    a, b = users_table(still), users_table(moving)
    np.testing.assert_allclose(a.sum(1), b.sum(1), rtol=1e-5)
    assert np.abs(a - b).max() > 1.0
    np.testing.assert_array_equal(users_in_a_turn(moving, len(b)), b)
