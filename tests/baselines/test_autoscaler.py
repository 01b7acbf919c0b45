"""The control `hpa`: the controller's decision as a real one recorded it, and the rule that follows it."""

import json
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwmecps_core.baselines import make
from lwmecps_core.baselines.autoscaler import Autoscaler, proposals
from lwmecps_core.baselines.hpa_controller import UNSEEN, Controller, PodSeen, decide, proposal
from lwmecps_core.envs.scene import scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.play import play
from tests.baselines.hpa_replay import replayed
from tests.baselines.test_hpa import _seen
from tests.baselines.tiny import tiny

TRACES = json.loads((Path(__file__).parent / "hpa_traces.json").read_text())
DEFAULT = Controller(maximum=30)


def test_the_port_decides_as_the_recorded_controller_did_at_every_sync():
    steps = list(replayed(TRACES))
    assert [step for step in steps if step.ours != step.theirs] == []
    assert len(steps) >= 300 and len(TRACES["scenarios"]) >= 20
    assert TRACES["controller"]["version"] == "Kubernetes v1.20.2"


@pytest.mark.parametrize(
    "changed",
    [
        {"tolerance": 0.101},
        {"tolerance": 0.099},
        {"stabilisation_s": 270.0},
        {"stabilisation_s": 330.0},
        {"initialisation_s": 30.0},
        {"initialisation_s": 1e6},
        {"readiness_delay_s": 1e6},
    ],
    ids=str,
)
def test_the_recording_tells_other_settings_from_the_defaults(changed):
    assert any(step.ours != step.theirs for step in replayed(TRACES, **changed))


def pods(*usage: int | None, **rest) -> list[PodSeen]:
    return [PodSeen(100, used, **rest) for used in usage]


def test_pods_that_are_not_ready_are_idle_on_the_way_up_and_the_tolerance_is_asked_again():
    old = {"started_s": -1000.0, "changed_s": -1000.0}
    waiting = pods(None, None, phase="Pending", ready=None)
    assert proposal(pods(*[100] * 6, **old), 6, DEFAULT, 0.0) == 8
    assert proposal(pods(*[100] * 6, **old) + waiting, 8, DEFAULT, 0.0) == 8
    assert proposal(pods(*[40] * 6, **old) + waiting, 8, DEFAULT, 0.0) == 3


def test_running_pods_without_usage_are_busy_on_the_way_down_and_idle_on_the_way_up():
    old = {"started_s": -1000.0, "changed_s": -1000.0}
    assert proposal(pods(*[20] * 4, None, None, **old), 6, DEFAULT, 0.0) == 4
    assert proposal(pods(*[140] * 4, None, None, **old), 6, DEFAULT, 0.0) == 7
    assert proposal(pods(None, None, **old), 2, DEFAULT, 0.0) is None


def test_the_window_begins_with_what_there_was_and_one_spike_keeps_scaling_up():
    decision = decide(UNSEEN, [1], 8, DEFAULT, 0.0)
    assert decision.replicas == 8
    assert decide(decision.recommendations, [1], 8, DEFAULT, 299.9).replicas == 8
    assert decide(decision.recommendations, [1], 8, DEFAULT, 300.1).replicas == 1
    spike = decide(UNSEEN, [16], 2, DEFAULT, 0.0)
    assert spike.replicas == 4
    assert decide(spike.recommendations, [1], 4, DEFAULT, 15.0).replicas == 8


def test_none_are_left_alone_and_bounds_come_first_and_a_failed_metric_holds_nothing_back():
    bounded = Controller(minimum=3, maximum=10)
    assert decide(UNSEEN, [5], 0, bounded, 0.0).replicas == 0
    assert [decide(UNSEEN, [5], n, bounded, 0.0).replicas for n in (1, 14)] == [3, 10]
    short = replace(bounded, stabilisation_s=0.0)
    first = decide(UNSEEN, [5], 5, short, 0.0)
    assert decide(first.recommendations, [None, 3], 5, short, 15.0).replicas == 3
    assert decide(first.recommendations, [None, None], 5, short, 15.0).replicas == 5


@settings(deadline=None)
@given(
    ready=st.integers(0, 20),
    waiting=st.integers(0, 12),
    used=st.integers(0, 700),
    request=st.integers(1, 700),
    target=st.integers(1, 120),
)
def test_the_rule_of_whole_batches_asks_for_what_the_port_asks_for(ready, waiting, used, request, target):
    controller, current = Controller(target_percent=target), ready + waiting
    seen = [PodSeen(request, used)] * ready + [PodSeen(request, None, "Pending", ready=None)] * waiting
    found = proposals(*(np.array([n]) for n in (used, request, ready, current)), controller)
    wish = proposal(seen, current, controller, 1e6)  # old enough for the readiness of the ready ones to be settled
    assert int(found[0]) == (-1 if wish is None else wish)


@settings(deadline=None, max_examples=30)
@given(
    runs=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 100), st.integers(1, 30)), min_size=1, max_size=4),
    interval_s=st.sampled_from([5.0, 10.0, 15.0, 40.0]),
    initial=st.integers(0, 5),
)
def test_the_rule_decides_as_the_port_sync_by_sync(runs, interval_s, initial):
    task = replace(tiny(users=(1.0, 1.0), initial=(initial, 1), max_replicas=8), interval_s=interval_s)
    request = round(task.deployments[0].cpu_millicores)
    hpa, env = Autoscaler(scene([task], [0])), BatchEnv([task], [0])
    obs, mask = env.reset(np.zeros(1, np.uint64))
    memory, current = hpa.begin(np.zeros(1, np.uint64)), initial
    controller, recommendations, syncs = Controller(maximum=8), UNSEEN, 0
    for t, (ready, percent) in enumerate((r, p) for r, p, times in runs for _ in range(times)):
        ready = min(ready, current)
        obs[0, 5], obs[0, 6], obs[0, 8] = ready / 8, current / 8, percent / 100
        acted = hpa.act(memory, _seen(obs, mask, first=t == 0), None)
        memory = acted.memory
        while syncs * 15.0 <= t * interval_s:
            used = -(-percent * request // 100)
            has = min(ready, current)
            seen = [PodSeen(request, used)] * has + [PodSeen(request, None, "Pending", ready=None)] * (current - has)
            # A real sync comes a little later than its period.
            now_s = syncs * 15.01
            wish = proposal([replace(p, started_s=-1e6, changed_s=-1e6) for p in seen], current, controller, now_s)
            decision = decide(recommendations, [wish], current, controller, now_s)
            current, recommendations, syncs = decision.replicas, decision.recommendations, syncs + 1
        assert acted.action[0][0] == current


def test_idle_replicas_go_down_to_one_when_the_window_is_over():
    task = tiny(users=(0.0, 1.0), initial=(6, 1), max_replicas=8, horizon=60)
    hpa, env, seeds = Autoscaler(scene([task], [0])), BatchEnv([task], [0]), np.zeros(1, np.uint64)
    actions = [i.acted.action[0].tolist() for i in play(env, hpa, hpa.begin(seeds), env.reset(seeds), repeat(None, 60))]
    assert [a[0] for a in actions] == [6] * 30 + [1] * 30


def test_what_an_episode_taught_is_gone_in_the_next():
    task = tiny(users=(1.0, 1.0), initial=(6, 1), max_replicas=8)
    hpa, env = make("hpa", [task], [0]), BatchEnv([task], [0])
    obs, mask = env.reset(np.zeros(1, np.uint64))
    fresh = hpa.act(hpa.begin(np.zeros(1, np.uint64)), _seen(obs, mask, first=True), None)
    again = hpa.act(fresh.memory, _seen(obs, mask, first=True), None)
    assert {k: v.tolist() for k, v in again.memory.items()} == {k: v.tolist() for k, v in fresh.memory.items()}


def test_the_default_autoscaler_settles_at_80_per_cent_and_waits_300_s_before_it_scales_down():
    # 60 users, a request per 10 s of 0.5 s each: 3 busy replicas.
    task = tiny(users=(60.0, 60.0), initial=(8, 1), max_replicas=12, horizon=60)
    hpa, env, seeds = Autoscaler(scene([task], [0])), BatchEnv([task], [0]), np.zeros(1, np.uint64)
    actions = [i.acted.action[0].tolist() for i in play(env, hpa, hpa.begin(seeds), env.reset(seeds), repeat(None, 60))]
    assert {a[0] for a in actions[:30]} == {8}
    assert {a[0] for a in actions[32:]} <= {3, 4, 5}
