import numpy as np
import pytest

from lwmecps_core.baselines import NAMES, make
from lwmecps_core.baselines.greedy import exchange
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.envs.scene import rearrange
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from tests.baselines.tiny import tiny

SCALING = tuple(n for n in NAMES if n not in ("oracle", "hpa_calibrated"))


def last_actions(name: str, **task: object) -> np.ndarray:
    (batch,) = run_baseline(name, [tiny(**task)], [0], 1)
    return batch.action[-1, 0]


def test_random_draws_every_allowed_action_alike_and_nothing_else():
    task = tiny(max_replicas=4, horizon=200)
    small = tiny(max_replicas=4, horizon=200)
    batches = run_baseline("random", [task, small], [1, 2], 20)
    counts = np.bincount(batches[0].action.ravel(), minlength=5)
    assert counts.sum() == 200 * 20 * 2
    assert np.abs(counts / counts.sum() - 0.2).max() < 0.02
    for batch in batches:
        allowed = batch.mask[:-1].reshape(*batch.action.shape, 5)
        assert np.take_along_axis(allowed, batch.action[..., None], -1).all()


def test_random_is_a_function_of_the_episodes_seed():
    one = run_baseline("random", [tiny()], [3], 4)[0].action
    assert (one == run_baseline("random", [tiny()], [3], 4)[0].action).all()
    assert (one[:, :2] == run_baseline("random", [tiny()], [3], 2)[0].action).all()
    assert (one != run_baseline("random", [tiny()], [4], 4)[0].action).any()


def test_random_respects_the_mask_of_a_node_that_holds_few_pods():
    task = draw(TaskDistribution(family="kubernetes_scaling", max_pods=3), 0)
    assert run_baseline("random", [task], [0], 8)[0].action.max() == 3


def test_uniform_runs_half_of_the_most_replicas_everywhere():
    assert last_actions("uniform", max_replicas=6).tolist() == [3, 3]
    assert last_actions("uniform", env_id="lwmecps-v4", max_replicas=6).reshape(2, 2).sum(1).tolist() == [3, 3]


def test_static_keeps_what_was_deployed():
    assert last_actions("static", initial=(3, 1)).tolist() == [3, 1]
    placed = last_actions("static", env_id="lwmecps-v4", initial=(3, 1))
    assert placed.reshape(2, 2).tolist() == [[3, 0], [0, 1]]


@pytest.mark.parametrize("name", ["greedy_latency", "greedy_load"])
def test_greedy_rules_take_replicas_from_the_idle_for_the_busy_and_buy_none(name):
    (batch,) = run_baseline(name, [tiny(users=(2.0, 30.0), initial=(4, 1), max_replicas=8)], [0], 1)
    assert (batch.action.sum(-1) == 5).all()
    assert batch.action[-1, 0].tolist() == [1, 4]


def test_exchange_never_empties_nor_overfills_a_deployment():
    need = np.array([[0.1, 0.9], [0.1, 0.9], [0.5, 0.5], [0.1, 0.9]])
    current = np.array([[3, 1], [1, 3], [2, 2], [3, 4]])
    assert exchange(current, need, np.full((4, 2), 4)).tolist() == [[2, 2], [1, 3], [2, 2], [3, 4]]


def test_optimized_balance_brings_every_deployment_to_sixty_percent():
    # 30 users and 60 users, 1 request per 10 s, 0.5 s each: 1.5 and 3 busy replicas.
    (batch,) = run_baseline("optimized_balance", [tiny(users=(30.0, 60.0), max_replicas=8, initial=(4, 4))], [0], 1)
    assert batch.action[-1, 0].tolist() in ([2, 5], [3, 5])


def test_v1_moves_one_replica_at_a_time():
    (batch,) = run_baseline("uniform", [tiny("lwmecps-v1", max_replicas=8)], [0], 1)
    assert batch.action[:, 0, 0].tolist()[:5] == [2, 2, 2, 1, 1]


def test_v2_episodes_end_when_every_pod_is_placed_and_the_rest_is_not_valid():
    (batch,) = run_baseline("greedy_load", [tiny("lwmecps-v2", initial=(2, 1))], [0], 2)
    assert batch.valid[:, 0].tolist() == [True] * 3 + [False] * 17
    assert batch.terminated.sum(0).tolist() == [1, 1]
    assert (batch.reward[3:] == 0).all()


@pytest.mark.parametrize("env_id", ["lwmecps-v3", "lwmecps-v4"])
@pytest.mark.parametrize("name", [n for n in SCALING if n != "random"])
def test_a_rule_does_the_same_in_a_continuous_environment(env_id, name):
    distribution = TaskDistribution(env_id=env_id, horizon=30)
    plain = run_baseline(name, [draw(distribution, 1)], [0], 2)[0]
    twin = TaskDistribution(env_id=f"{env_id}-continuous", horizon=30)
    smooth = run_baseline(name, [draw(twin, 1)], [0], 2)[0]
    assert smooth.action.dtype == np.float32 and smooth.action.min() >= 0 and smooth.action.max() <= 1
    assert smooth.reward == pytest.approx(plain.reward)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "hpa_calibrated"])
def test_a_task_of_a_batch_goes_as_it_goes_alone(name):
    tasks = [draw(TaskDistribution(horizon=12), seed) for seed in (1, 2)]
    together = run_baseline(name, tasks, [5, 6], 2)
    alone = run_baseline(name, tasks[1:], [6], 2)
    assert (together[1].reward == alone[0].reward).all()


def test_a_baselines_episodes_are_those_that_a_policy_meets():
    task = draw(TaskDistribution(), 1)
    (batch,) = run_baseline("static", [task], [9], 3)
    obs, _ = BatchEnv([task], [0, 0, 0]).reset(episode_seeds(9, 3))
    assert (batch.obs[0] == obs).all()
    assert batch.seed == 9


def test_pods_go_where_the_score_is_highest_and_leave_where_it_is_lowest():
    score, limit = np.array([[[3.0, 2.0, 0.0]]]), np.array([[[2, 5, 5]]])
    assert rearrange(np.array([[[0, 0, 0]]]), np.array([[4]]), score, limit).tolist() == [[[2, 2, 0]]]
    assert rearrange(np.array([[[2, 2, 2]]]), np.array([[4]]), score, limit).tolist() == [[[2, 2, 0]]]
    assert rearrange(np.array([[[1, 2, 1]]]), np.array([[4]]), score, limit).tolist() == [[[1, 2, 1]]]
    assert rearrange(np.array([[[0, 0, 0]]]), np.array([[99]]), score, limit).tolist() == [[[2, 5, 5]]]


def test_an_unknown_name_and_a_rule_without_a_meaning_here_are_refused():
    with pytest.raises(InvalidInput, match="'magic' is none of random, uniform"):
        make("magic", [tiny()], [0])
    with pytest.raises(InvalidInput, match="only one deployment is scaled"):
        make("greedy_load", [tiny("lwmecps-v1")], [0])
    with pytest.raises(InvalidInput, match="use lwmecps-v3 or lwmecps-v4"):
        make("oracle", [tiny("lwmecps-v1")], [0])
    with pytest.raises(InvalidInput, match="lwmecps-v2 does not scale replicas"):
        run_baseline("hpa", [tiny("lwmecps-v2")], [0], 1)
