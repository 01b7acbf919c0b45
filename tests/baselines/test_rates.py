"""The rule of rates, and rules that try out the task."""

from itertools import repeat

import numpy as np
import pytest

from lwmecps_core.baselines import make
from lwmecps_core.baselines.calibration import rate_settings
from lwmecps_core.baselines.hpa import TARGETS
from lwmecps_core.baselines.rates import UTILISATIONS, RateRule, RateSettings
from lwmecps_core.baselines.run import run_baseline, try_and_run
from lwmecps_core.envs.scene import scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.play import play
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import EvaluateConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import evaluate
from tests.baselines.tiny import tiny


def _play(task, settings, intervals, seed=0):
    env, seeds = BatchEnv([task], [0]), np.array([seed], np.uint64)
    rule = RateRule(scene([task], [0]), settings)
    return list(play(env, rule, rule.begin(seeds), env.reset(seeds), repeat(None, intervals)))


def test_the_rule_finds_the_service_time_and_the_replicas_that_it_asks_for():
    # 60 users, a request per 10 s of 0.5 s each: 6 requests/s, 3 busy replicas.
    task = tiny(users=(60.0, 60.0), max_replicas=12)
    *_, last = _play(task, RateSettings(utilisation=0.5), 60)
    memory = last.acted.memory
    np.testing.assert_allclose(memory["busy"] / memory["rate"], 0.5, rtol=0.05)
    np.testing.assert_array_equal(last.acted.action, np.ceil(memory["smoothed"] * 0.5 / 0.5 - 0.05))


def test_overloaded_replicas_grow_until_they_show_how_much_work_there_is():
    task = tiny(users=(60.0, 60.0), initial=(1, 1), max_replicas=12)
    actions = [interval.acted.action[0].tolist() for interval in _play(task, RateSettings(utilisation=0.5), 20)]
    assert actions[0] == [2, 2]  # all that is known is that one isn't enough
    assert min(actions[-1]) >= 5


def test_a_deployment_that_is_off_gets_no_replicas():
    task = tiny(users=(60.0, 60.0), max_replicas=12)
    assert all(i.acted.action[0, 1] == 0 for i in _play(task, RateSettings(off=(1,)), 5))


def test_rules_that_may_try_out_the_task_say_how_long_and_earn_no_less_than_without():
    tasks = [draw(TaskDistribution(horizon=60), seed) for seed in range(12)]
    earned = {
        name: float(np.mean([b.reward.sum(0).mean() for b in run_baseline(name, tasks, range(50, 62), 4)]))
        for name in ("hpa_calibrated", "hpa_tuned", "rate_rule", "rate_rule_adapted")
    }
    assert earned["hpa_tuned"] > earned["hpa_calibrated"]
    assert earned["rate_rule_adapted"] > earned["rate_rule"]
    trials = {
        name: try_and_run(name, tasks[:1], (0,), 1)[1].episodes for name in ("hpa", "hpa_tuned", "rate_rule_adapted")
    }
    switches = len(tasks[0].deployments)
    assert trials == {"hpa": 0, "hpa_tuned": 14, "rate_rule_adapted": len(UTILISATIONS) + switches}
    assert trials["rate_rule_adapted"] <= 14 == len(TARGETS)
    single = draw(TaskDistribution(env_id="lwmecps-v4", nodes=2, deployments=2, horizon=5), 0)
    assert make("rate_rule_adapted", [single], [0]).trials.episodes == len(
        UTILISATIONS
    )  # nobody answers for others in v4


def _trained(latency, replicas):
    return [tiny(users=(40.0, 60.0), noise=0.2, max_replicas=8, sla=1.0, latency=latency, replicas=replicas)]


CHEAP, DEAR = _trained(1.0, 0.1), _trained(0.1, 5.0)


@pytest.mark.parametrize("name", ["hpa_calibrated", "hpa_tuned", "rate_rule"])
def test_the_training_tasks_that_are_named_decide_what_a_tuned_rule_does(name):
    cheap, again, dear = (run_baseline(name, DEAR, (3,), 4, training_tasks=t)[0] for t in (CHEAP, CHEAP, DEAR))
    assert (cheap.action == again.action).all() and (cheap.action != dear.action).any()


def test_dear_replicas_make_the_rule_of_rates_aim_at_a_higher_utilisation():
    where = scene([tiny()], [0, 0])
    cheap, dear = rate_settings(where, CHEAP), rate_settings(where, DEAR)
    assert len(cheap) == len(dear) == 2 and cheap[0].utilisation < dear[0].utilisation


def test_trials_of_a_task_depend_on_no_other_task_and_count_as_its_data():
    tasks = tuple(draw(TaskDistribution(horizon=30), seed) for seed in range(3))
    together = run_baseline("rate_rule_adapted", tasks, (1, 2, 3), 1)
    rule = make("rate_rule_adapted", tasks[:1], [0])
    assert rule.name == "rate_rule_adapted"
    np.testing.assert_array_equal(run_baseline("rate_rule_adapted", tasks[:1], (1,), 1)[0].action, together[0].action)
    config = EvaluateConfig(episodes=1, baseline="hpa_tuned")
    (progress,) = evaluate(None, tasks, config, LocalCollector(), seed=0)
    assert [row.env_steps for row in progress.rows] == [14 * 30] * 3


def test_the_rule_does_not_place_single_pods():
    with pytest.raises(InvalidInput, match="rate_rule: env_id: lwmecps-v2 does not scale replicas"):
        make("rate_rule", [draw(TaskDistribution(env_id="lwmecps-v2"), 0)], [0])
