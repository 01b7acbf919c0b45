"""Collection through sessions of an env-service, whose "real" cluster is the simulated one here."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import CollectionStopped, InvalidInput, NotFound
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.run_config import AdaptConfig, PPOConfig
from lwmecps_core.specs import KubernetesSpec, TaskSpec
from lwmecps_core.training import adapt
from lwmecps_core.training.sampling import torch_generator
from services.common.client import Caller
from services.env_service import backends
from services.learner_service.session_collector import SessionCollector
from tests.env_service.conftest import Served, make_task, serve
from tests.rollout.remembering import Remembering

__all__ = ["serve"]

PPO = PPOConfig(hidden_size=(8, 8))
PLAN = CollectionPlan(seeds=(3,), episodes=2)


@pytest.fixture
def served(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> Served:
    """An env-service that takes the simulator for a real cluster."""
    monkeypatch.setitem(backends.CLUSTERS, "kubernetes", SimulatedCluster)
    return serve()


@pytest.fixture
def collector(served: Served) -> Iterator[SessionCollector]:
    made = SessionCollector(Caller("env", served.stub), "kubernetes", lambda: False)
    yield made
    made.close(ended=True)


def _policy(task: TaskSpec) -> PolicyData:
    spec = env_spec(task)
    params, extra = algorithms.make(PPO, spec).init(torch_generator(1, "weights"))
    return PolicyData(PPO, spec, params, extra)


def _snapshot(task: TaskSpec) -> PolicySnapshot:
    policy = _policy(task)
    return PolicySnapshot(PPO, policy.params, policy.extra, version=4)


def test_episodes_follow_one_another_and_make_one_batch(collector: SessionCollector) -> None:
    task = make_task()
    (batch,) = collector.collect([task], _snapshot(task), PLAN)
    assert (batch.length, batch.width, batch.policy_version, batch.seed) == (task.horizon, 2, 4, 3)
    assert batch.valid.all() and batch.truncated[-1].all() and not batch.truncated[:-1].any()
    assert set(batch.extras) == {"log_prob"} and (batch.info["replicas"][-1] > 0).all()
    assert not np.array_equal(batch.reward[:, 0], batch.reward[:, 1])
    (again,) = collector.collect([task], _snapshot(task), PLAN)
    for name in ("obs", "action", "reward"):  # the simulator's load follows from the seed
        assert np.array_equal(getattr(batch, name), getattr(again, name))


def test_the_cluster_is_held_between_collections_and_let_go_at_the_end(
    served: Served, collector: SessionCollector
) -> None:
    task, other = make_task(), make_task(name="other")
    collector.collect([task], _snapshot(task), PLAN)
    (held,) = served.sessions._sessions
    collector.collect([task], _snapshot(task), PLAN)
    assert list(served.sessions._sessions) == [held]
    collector.collect([other], _snapshot(other), PLAN)  # another cluster: the first one is free again
    assert len(served.sessions) == 1 and held not in served.sessions._sessions
    collector.close(ended=True)
    assert len(served.sessions) == 0


def test_a_run_that_must_stop_stops_within_an_episode(served: Served) -> None:
    task, answers = make_task(), iter([False, False, True])
    collector = SessionCollector(Caller("env", served.stub), "kubernetes", lambda: next(answers))
    with pytest.raises(CollectionStopped):
        collector.collect([task], _snapshot(task), PLAN)
    collector.close(ended=False)
    assert len(served.sessions) == 0


def test_what_the_service_refuses_is_raised_as_it_was(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    collector = SessionCollector(Caller("env", served.stub), "kubernetes", lambda: False)
    collector.collect([task], _snapshot(task), PLAN)
    served.sessions.close_all()
    with pytest.raises(NotFound, match="session"):
        collector.collect([task], _snapshot(task), PLAN)
    monkeypatch.undo()  # the real backend again
    with pytest.raises(InvalidInput, match="kubernetes"):
        SessionCollector(Caller("env", served.stub), "kubernetes", lambda: False).collect([task], _snapshot(task), PLAN)
    collector.close(ended=True)


@pytest.mark.parametrize(("may_leave", "episodes"), [(False, 3 + 1), (True, 2 + 3 + 1)])
def test_adaptation_to_a_real_cluster_is_measured_at_its_ends(
    collector: SessionCollector, may_leave: bool, episodes: int
) -> None:
    task = replace(make_task(), kubernetes=KubernetesSpec(usage="simulated"))
    cfg = AdaptConfig(
        adaptation_steps=3,
        episodes_per_step=1,
        evaluation_episodes=1,
        backend="kubernetes",
        keep_placement_if_worse=may_leave,
    )
    steps = list(adapt(_policy(task), (task,), cfg, collector, seed=2))
    assert [[row.inner_steps for row in step.rows] for step in steps] == [[0], [], [], [3]]
    assert all("support_reward" in step.metrics for step in steps[1:])
    assert "test_avg_reward" in steps[-1].metrics and "test_avg_reward" not in steps[1].metrics
    assert (
        steps[-1].rows[0].env_steps == episodes * task.horizon
    )  # left alone, the start without chance, three inner steps, the proof at the end
    assert (steps[-1].policy is None) == (steps[-1].metrics.get("kept_placement") == 1.0)


def test_a_real_cluster_has_no_oracle() -> None:
    with pytest.raises(ValueError, match="only a simulated cluster has an oracle"):
        AdaptConfig(backend="kubernetes", compare_oracle=True)


def test_what_a_policy_remembers_of_a_real_cluster_goes_on_from_episode_to_episode(
    collector: SessionCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(algorithms.REGISTRY, "ppo", Remembering)
    task = make_task()
    (batch,) = collector.collect([task], _snapshot(task), PLAN)
    assert batch.extras["count"][0].tolist() == [0, task.horizon]
    assert batch.memory["count"].tolist() == [2 * task.horizon] * 2
    memory = {name: torch.as_tensor(x).unsqueeze(0) for name, x in batch.memory.items()}
    (more,) = collector.collect([task], replace(_snapshot(task), memory=memory), PLAN)
    assert more.memory["count"].tolist() == [4 * task.horizon] * 2
