from itertools import repeat
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwmecps_core.acting import REWARD_TERMS, Seen
from lwmecps_core.baselines import HpaSettings, calibrate, make
from lwmecps_core.baselines.calibration import hpa_settings
from lwmecps_core.baselines.hpa import CALIBRATION, Hpa, desired_replicas
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.envs.scene import scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.play import play
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from tests.baselines.tiny import tiny


def rule(ready: int, utilisation: float, target: float, tolerance: float = 0.1, desired: int | None = None) -> int:
    wish = desired_replicas(
        np.array([ready]),
        np.array([ready if desired is None else desired]),
        np.array([utilisation]),
        np.array([target]),
        np.array([tolerance]),
    )
    return int(wish[0])


@pytest.mark.parametrize(
    ("ready", "utilisation", "target", "expected"),
    [
        (3, 1.0, 0.5, 6),  # "200m against a desired 100m: the number of replicas doubles"
        (4, 0.25, 0.5, 2),  # "50m: you will halve the number of replicas"
        (3, 0.6, 0.9, 2),  # exactly two: the quotient's rounding must not make it three
        (5, 0.54, 0.5, 5),  # a ratio of 1.08 is within the tolerance of 0.1
        (5, 0.56, 0.5, 6),
        (5, 0.0, 0.5, 1),  # never less than one
        (1, 0.9, 0.5, 2),
    ],
)
def test_the_rule_is_the_documented_one(ready, utilisation, target, expected):
    assert rule(ready, utilisation, target) == expected


@given(
    ready=st.integers(1, 30),
    busy=st.integers(0, 100),
    target=st.integers(5, 95),
    tolerance=st.sampled_from([0, 0.1, 0.2]),
)
def test_the_rule_agrees_with_the_formula_in_exact_arithmetic(ready, busy, target, tolerance):
    ratio = busy / target
    expected = ready if abs(ratio - 1) <= tolerance + 1e-9 else max(1, ceil(ready * busy / target - 1e-6))
    assert rule(ready, busy / 100, target / 100, tolerance) == expected


def test_replicas_that_are_starting_are_not_asked_for_twice_and_none_ready_means_wait():
    assert rule(2, 1.0, 0.5, desired=6) == 6
    assert rule(0, 0.0, 0.5, desired=3) == 3
    assert rule(0, 0.0, 0.5, desired=0) == 1


def _seen(obs, mask, *, first):
    action = np.zeros((1, 2), np.int32)
    return Seen(obs, mask, np.zeros((1, len(REWARD_TERMS)), np.float32), action, np.array([first]))


def test_the_autoscaler_settles_at_its_target():
    # 60 users, a request per 10 s of 0.5 s each: 3 busy replicas, 5 at 60 %.
    task = tiny(users=(60.0, 60.0), max_replicas=12)
    hpa = Hpa(scene([task], [0]), HpaSettings(target=0.6, tolerance=0.05))
    env, seeds = BatchEnv([task], [0]), np.zeros(1, np.uint64)
    *_, last = play(env, hpa, hpa.begin(seeds), env.reset(seeds), repeat(None, 20))
    assert set(last.acted.action[0].tolist()) <= {5, 6}


def test_a_scale_down_waits_for_the_window_and_a_scale_up_does_not():
    task = tiny(users=(1.0, 60.0), initial=(6, 1), max_replicas=8)
    acts = {}
    for window_s in (0.0, 50.0):
        hpa = Hpa(scene([task], [0]), HpaSettings(target=0.6, stabilisation_s=window_s))
        env = BatchEnv([task], [0])
        obs, mask = env.reset(np.zeros(1, np.uint64))
        # Pretend that the first deployment was busy once, and then is idle.
        busy = obs.copy()
        busy[0, 5 + 3] = 0.6
        memory, acts[window_s] = hpa.begin(np.zeros(1, np.uint64)), []
        for t, shown in enumerate([busy] + [obs] * 8):
            acted = hpa.act(memory, _seen(shown, mask, first=t == 0), None)
            memory = acted.memory
            acts[window_s].append(acted.action[0])
    assert [a[0] for a in acts[0.0]] == [6] + [1] * 8
    assert [a[0] for a in acts[50.0]] == [6] + [6] * 5 + [1] * 3
    assert acts[50.0][0][1] > 1


def test_calibration_picks_the_best_settings_of_its_training_tasks():
    tasks = [draw(TaskDistribution(horizon=40), seed) for seed in range(3)]
    best = calibrate(tasks, episodes=2, seed=4)
    seeds = episode_seeds(4, 6)

    def total(settings: HpaSettings) -> float:
        env = BatchEnv(tasks, np.repeat(np.arange(3), 2))
        hpa = Hpa(scene(tasks, env.task_of), settings)
        intervals = play(env, hpa, hpa.begin(seeds), env.reset(seeds), repeat(None, 40))
        return sum(float(interval.reward.sum()) for interval in intervals)

    assert total(best) == pytest.approx(max(total(s) for s in (*CALIBRATION[::5], best)))


def test_dear_replicas_calibrate_to_a_higher_target_than_dear_latency():
    cheap = [tiny(users=(40.0, 60.0), noise=0.2, max_replicas=8, latency=1.0, replicas=0.1, sla=1.0)]
    dear = [tiny(users=(40.0, 60.0), noise=0.2, max_replicas=8, latency=0.1, replicas=5.0, sla=1.0)]
    assert calibrate(cheap, episodes=8).target < calibrate(dear, episodes=8).target


def test_the_calibrated_autoscaler_is_tuned_on_tasks_that_are_not_the_held_out_ones():
    task = draw(TaskDistribution(horizon=40), 1)
    (settings,) = hpa_settings(scene([task], [0]))
    assert settings in CALIBRATION
    assert hpa_settings(scene([draw(TaskDistribution(horizon=40), 2)], [0, 0])) == [settings] * 2
    given_tasks = [draw(TaskDistribution(horizon=40), seed) for seed in (70, 71)]
    own = run_baseline("hpa_calibrated", [task], [0], 2, training_tasks=given_tasks)[0]
    assert hpa_settings(scene([task], [0]), given_tasks) == [calibrate(given_tasks)] != [settings]
    hpa = make("hpa_calibrated", [task], [0], training_tasks=given_tasks)
    assert hpa.name == "hpa_calibrated" and own.length == 40
