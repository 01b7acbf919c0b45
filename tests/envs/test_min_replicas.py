"""A policy is told of `min_replicas`: its mask allows no fewer, and what it asks for is what there is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lwmecps_core.algorithms import heads
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.config import parse
from lwmecps_core.envs.actions import action_masks, env_spec
from lwmecps_core.envs.driven import DrivenCluster, DrivenSimulator
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.spec_codec import task_from_proto, task_to_proto
from lwmecps_core.sim.state import fewest_replicas, initial_replicas, kept_replicas
from lwmecps_core.specs import (
    ClusterSpec,
    DeploymentSpec,
    EnvId,
    KubernetesSpec,
    NodeSpec,
    TaskDistribution,
    TaskSpec,
    WorkloadSpec,
)
from lwmecps_core.tasks.families import draw

STEPS = 30


def _task(env_id: EnvId = "lwmecps-v3", fewest: tuple[int, ...] = (1, 2), **changes: object) -> TaskSpec:
    """Two nodes with room for two pods and for three, each the home of one deployment of up to four."""
    nodes = tuple(NodeSpec(name=name, cpu_millicores=cpu, ram_mib=8192.0) for name, cpu in (("a", 1000), ("b", 1500)))
    made = TaskSpec(
        name="kept",
        env_id=env_id,
        cluster=ClusterSpec(nodes=nodes, rtt_ms=((0.0, 5.0), (5.0, 0.0))),
        deployments=tuple(
            DeploymentSpec(
                name=f"app-{i}", cpu_millicores=500.0, max_replicas=4, initial_replicas=0, min_replicas=least
            )
            for i, least in enumerate(fewest)
        ),
        workload=WorkloadSpec(
            pattern="uniform", base_users=(60.0, 90.0), share=((1.0, 0.0), (0.0, 1.0)), failover=((0, 1), (1, 0))
        ),
        horizon=STEPS,
    )
    return replace(made, **changes)


def _allowed(task: TaskSpec) -> list[list[int]]:
    """Choices that the mask allows, of each component of an action."""
    sizes = env_spec(replace(task, env_id=task.env_id.removesuffix("-continuous"))).nvec
    rows = action_masks(task)[0].reshape(len(sizes), -1)
    return [np.flatnonzero(row).tolist() for row in rows]


def test_the_mask_of_v3_begins_at_the_fewest() -> None:
    assert _allowed(_task()) == [[1, 2], [2, 3]]
    assert _allowed(_task(fewest=(0, 0))) == [[0, 1, 2], [0, 1, 2, 3]]


def test_the_fewest_stand_at_home_and_in_v4_elsewhere_where_home_has_no_room() -> None:
    task = _task("lwmecps-v4", (3, 1))
    assert kept_replicas(task).tolist() == [[2, 1], [0, 1]]
    assert _allowed(task) == [[2], [1, 2, 3], [0, 1, 2], [1, 2, 3]]
    assert kept_replicas(_task("lwmecps-v3", (3, 1))).tolist() == [[2, 0], [0, 1]]


def test_the_clusters_minimum_stands_for_smaller_ones() -> None:
    task = _task(fewest=(0, 3), kubernetes=KubernetesSpec(min_replicas=2))
    assert fewest_replicas(task).tolist() == [2, 3]
    everywhere = _task(fewest=(0, 3), kubernetes=KubernetesSpec(min_replicas=9))
    assert fewest_replicas(everywhere).tolist() == [4, 4], "no more than max_replicas"


def test_an_episode_begins_with_the_fewest() -> None:
    assert initial_replicas(_task()).tolist() == [1, 2]
    assert BatchEnv([_task()], [0]).reset([1])[0].shape[0] == 1


@pytest.mark.parametrize("env_id", ["lwmecps-v3", "lwmecps-v4"])
def test_what_a_mask_allows_is_what_is_asked_for(env_id: EnvId) -> None:
    task = replace(_task(env_id), deployments=tuple(replace(d, max_replicas=5) for d in _task(env_id).deployments))
    env, rng = BatchEnv([task], [0]), np.random.default_rng(3)
    env.reset([1])
    for _ in range(STEPS):
        action = np.array([[rng.choice(choices) for choices in _allowed(task)]], np.int32)
        env.step(action)
        desired = env.state.pools["desired"][0]
        asked = action.reshape(2, 2) if env_id == "lwmecps-v4" else np.diag(action[0])
        np.testing.assert_array_equal(desired, asked)


@pytest.mark.parametrize("env_id", [f"lwmecps-v{v}" for v in (1, 2, 3, 4)])
def test_whoever_does_not_look_at_the_mask_gets_the_fewest_all_the_same(env_id: EnvId) -> None:
    """The compiled loop, and the one over any cluster, which has to agree with it interval by interval."""
    task, rng = _task(env_id), np.random.default_rng(5)
    compiled, driven = DrivenSimulator(task), DrivenCluster(task, SimulatedCluster(task))
    compiled.reset(1), driven.reset(1)
    most = np.array(env_spec(task).nvec)
    for _ in range(3 if env_id == "lwmecps-v2" else STEPS - 1):
        action = rng.integers(0, most) // 2
        states = [each.step(action) and each.state() for each in (compiled, driven)]
        np.testing.assert_array_equal(states[0].desired, states[1].desired)
        fewest = [1, 0] if env_id == "lwmecps-v1" else [1, 2]  # v1 moves the first deployment only
        assert (states[0].desired.sum(axis=1) >= fewest).all()


def test_others_than_the_fewest_share_what_is_left_of_max_replicas_in_the_order_of_nodes() -> None:
    task = _task("lwmecps-v4", (0, 2))
    env = BatchEnv([task], [0])
    env.reset([1])
    env.step(np.array([[2, 3, 2, 3]], np.int32))
    assert env.state.pools["desired"][0].tolist() == [[2, 2], [2, 2]], "of four, the second keeps two at home"


def test_a_policy_that_wants_none_asks_for_the_likeliest_number_of_those_allowed() -> None:
    spec = env_spec(_task())
    none, three = torch.tensor([0.0, -8.0, 9.0]), torch.tensor([1.1, -8.0, 9.0])  # surely none; else 2 or 3 of 4
    out = torch.stack([none, three]).unsqueeze(0)

    def chosen(task: TaskSpec) -> list[int]:
        mask = torch.from_numpy(action_masks(task))
        found: list[int] = heads.mode(spec, heads.log_probs(spec, out, mask))[0].tolist()
        return found

    assert chosen(_task(fewest=(0, 0))) == [0, 0]
    assert chosen(_task()) == [2, 3]


def test_a_minimum_above_the_most_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"deployment.*min_replicas 9 must not exceed max_replicas 8"):
        parse(DeploymentSpec, {"name": "web", "min_replicas": 9}, "deployment")
    with pytest.raises(InvalidInput, match="min_replicas 3 must not exceed max_replicas 2"):
        parse(TaskDistribution, {"max_replicas": 2, "min_replicas": 3}, "tasks")


def test_drawn_tasks_have_the_minimum_and_are_otherwise_the_same() -> None:
    with_it, without = draw(TaskDistribution(min_replicas=2), 7), draw(TaskDistribution(), 7)
    assert {d.min_replicas for d in with_it.deployments} == {2}
    assert replace(with_it, deployments=tuple(replace(d, min_replicas=0) for d in with_it.deployments)) == without


def test_the_minimum_travels_through_the_contract() -> None:
    assert task_from_proto(task_to_proto(_task())) == _task()
