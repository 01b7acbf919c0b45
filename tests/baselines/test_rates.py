"""The rule of rates, and rules that try out the task."""

from itertools import repeat

import numpy as np
import pytest

from lwmecps_core.baselines import make
from lwmecps_core.baselines.rates import UTILISATIONS, RateRule, RateSettings
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.baselines.trials import trial_episodes
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
    assert trial_episodes("hpa_tuned", tasks[0]) == 14
    assert trial_episodes("rate_rule_adapted", tasks[0]) == len(UTILISATIONS) + len(tasks[0].deployments) <= 14
    assert trial_episodes("hpa", tasks[0]) == 0


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
