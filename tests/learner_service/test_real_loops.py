"""The real training loops in the life of a run, with rollouts made in this process."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lwmecps_core.algorithms import make
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import (
    SIMULATED,
    AdaptConfig,
    DQNConfig,
    MetaConfig,
    PPOConfig,
    TrainConfig,
    TransferConfig,
)
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.tracking import Trackers
from services.learner_service.jobs import End, Job, StepReport, Wish
from services.learner_service.loops import LOOPS
from services.learner_service.runs import Pace, RunSession, Workshop

from .fakes import FakeRegistry, NoCollector, job

CITY = TaskDistribution(nodes=2, deployments=2, horizon=6)


class OpenLocal(NoCollector):
    """Collects in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.collect = LocalCollector().collect  # type: ignore[method-assign]


class PausingRegistry(FakeRegistry):
    """Asks for a pause after the step `pause_after`."""

    pause_after = -1

    def report(self, job: Job, news: StepReport) -> Wish:
        super().report(job, news)
        return Wish.PAUSE if news.step == self.pause_after else Wish.RUN


def _run(what: Job, pause_after: int = -1) -> PausingRegistry:
    registry = PausingRegistry(what, (CITY,))
    registry.pause_after = pause_after
    registry.policies["p1"] = _untrained()
    shop = Workshop(
        registry,
        LOOPS,
        {SIMULATED: OpenLocal()},
        lambda: Trackers([]),
        Pace(report_every_s=0, checkpoint_every_steps=2),
    )
    RunSession(registry.job, shop, threading.Event()).work()
    if pause_after >= 0:
        assert registry.end is End.PAUSED, registry.error
        RunSession(registry.job, shop, threading.Event()).work()
    assert registry.end is End.COMPLETED, registry.error
    return registry


def _untrained() -> PolicyData:
    spec = env_spec(draw(CITY, 0))
    return PolicyData(PPOConfig(), spec, *make(PPOConfig(), spec).init(torch.Generator().manual_seed(0)))


JOBS: dict[str, Callable[[], Job]] = {
    "train ppo": lambda: job(settings=TrainConfig(total_episodes=8, episodes_per_batch=2), algorithm=PPOConfig()),
    "train dqn": lambda: job(settings=TrainConfig(total_episodes=8, episodes_per_batch=2), algorithm=DQNConfig()),
    "train with a curriculum": lambda: job(
        settings=TrainConfig(
            total_episodes=16,
            episodes_per_batch=2,
            tasks_per_batch=2,
            collections_per_task=2,
            curriculum="mutate",
            curriculum_score="quick_regret",
        ),
        algorithm=PPOConfig(context="statistics"),
    ),
    "train with a belief": lambda: job(
        settings=TrainConfig(total_episodes=16, episodes_per_batch=2, tasks_per_batch=2, collections_per_task=2),
        algorithm=PPOConfig(context="belief", belief_memory_size=5),
    ),
    "meta-train with a belief": lambda: job(
        settings=MetaConfig(num_meta_epochs=4, meta_batch_size=2, adaptation_steps=2, episodes_per_step=2),
        algorithm=PPOConfig(context="belief"),
    ),
    "transfer": lambda: job(
        settings=TransferConfig(
            method="domain_adaptation", total_episodes=8, episodes_per_batch=2, compare_scratch=True
        ),
        policy_id="p1",
        source_task_ids=("t1",),
    ),
    "continual": lambda: job(
        settings=ContinualConfig(episodes_per_cluster=4, evaluation_episodes=1), policy_id="p1", num_tasks=3
    ),
    "meta-train": lambda: job(
        settings=MetaConfig(num_meta_epochs=4, meta_batch_size=2, adaptation_steps=2, episodes_per_step=2),
        algorithm=PPOConfig(),
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_paused_and_resumed_run_learns_exactly_what_an_undisturbed_one_does(name: str) -> None:
    undisturbed, resumed = _run(JOBS[name]()), _run(JOBS[name](), pause_after=3)
    assert sorted(resumed.metrics) == [1, 2, 3, 4]
    for step, metrics in undisturbed.metrics.items():
        assert resumed.metrics[step] == pytest.approx(metrics, nan_ok=True, rel=0, abs=0), step
    a, b = (_leaves(r.policies["result"].params) for r in (undisturbed, resumed))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_adaptation_of_a_trained_policy_reports_a_row_for_every_task_and_step() -> None:
    trained = _run(JOBS["meta-train"]()).policies["result"]
    what = job(
        settings=AdaptConfig(adaptation_steps=2, episodes_per_step=2, evaluation_episodes=2),
        policy_id="p1",
        num_tasks=3,
        label="adapted",
    )
    registry = FakeRegistry(what, (CITY,))
    registry.policies["p1"] = trained
    shop = Workshop(registry, LOOPS, {SIMULATED: OpenLocal()}, lambda: Trackers([]))
    RunSession(what, shop, threading.Event()).work()
    assert registry.end is End.COMPLETED, registry.error
    assert sorted((r.inner_steps, r.method) for r in registry.rows) == [
        (s, "adapted") for s in (0, 0, 0, 1, 1, 1, 2, 2, 2)
    ]
    assert len({r.task for r in registry.rows}) == 3
    assert any("users" in report.trace for report in registry.reports)


def _leaves(params: Any) -> dict[str, torch.Tensor]:
    return {f"{g}/{k}": v for g, group in params.items() for k, v in group.items()}
