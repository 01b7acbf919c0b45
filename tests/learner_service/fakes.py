"""A registry in memory and a loop of sums, so that the life of a run is tested without gRPC, Redis or training."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from lwmecps_core.errors import Conflict, ModelFileNotFound
from lwmecps_core.policy import PolicyData
from lwmecps_core.results import Row
from lwmecps_core.run_config import SIMULATED, PPOConfig, TrainConfig
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, EnvSpec, NodeSpec, TaskDistribution, TaskSpec, WorkloadSpec
from lwmecps_core.tracking import Trackers
from lwmecps_core.training.progress import LoopState, Progress
from services.common.run_spec import RunSpec
from services.learner_service.jobs import End, Job, Loop, LoopInput, StepReport, Wish
from services.learner_service.runs import Pace, Workshop

ENV_SPEC = EnvSpec("lwmecps-v1", (("global", (3,)),), nvec=(3,), action_size=1, horizon=5)


def task(name: str = "one") -> TaskSpec:
    return TaskSpec(
        name=name,
        env_id="lwmecps-v1",
        cluster=ClusterSpec(nodes=(NodeSpec(name="a", cpu_millicores=4000, ram_mib=8000),), rtt_ms=((0.0,),)),
        deployments=(DeploymentSpec(name="web"),),
        workload=WorkloadSpec(base_users=(10.0,), share=((1.0,),)),
        horizon=5,
    )


def policy(value: float = 0.0) -> PolicyData:
    return PolicyData(PPOConfig(), ENV_SPEC, {"actor": {"w": torch.tensor([value])}}, {})


class FakeRegistry:
    """One run's record; tests set `wish` and `token` to play the people and the other learners."""

    def __init__(self, job: Job, tasks: tuple[TaskSpec | TaskDistribution, ...] = (task(),)) -> None:
        self.job, self.tasks = job, tasks
        self.wish, self.token, self.claimable = Wish.RUN, job.token, True
        self.reports: list[StepReport] = []
        self.checkpoint: bytes | None = None
        self.checkpoint_steps: list[int] = []
        self.policies: dict[str, PolicyData] = {}
        self.end: End | None = None
        self.error = ""
        self.tracking_id = ""
        self.writes = 0

    @property
    def metrics(self) -> dict[int, dict[str, float]]:
        return {step: dict(m) for report in self.reports for step, m in report.metrics.items()}

    @property
    def rows(self) -> list[Row]:
        return [row for report in self.reports for row in report.rows]

    def claim(self) -> Job | None:
        if not self.claimable:
            return None
        self.claimable = False
        return self.job

    def _check(self, job: Job) -> None:
        if job.token != self.token:
            raise Conflict(f"fencing token {job.token} is stale")

    def _write(self, job: Job) -> None:
        self._check(job)
        self.writes += 1

    def heartbeat(self, job: Job, waiting_for: str = "") -> Wish:
        self._check(job)
        return self.wish

    def report(self, job: Job, news: StepReport) -> Wish:
        self._write(job)
        self.reports.append(news)
        return self.wish

    def finish(self, job: Job, end: End, news: StepReport, *, error: str = "", policy_id: str = "") -> None:
        self._write(job)
        self.reports.append(news)
        self.end, self.error, self.tracking_id = end, error, news.tracking_id

    def load_tasks(self, task_ids: Sequence[str]) -> tuple[TaskSpec | TaskDistribution, ...]:
        return self.tasks

    def load_policy(self, policy_id: str) -> PolicyData:
        if policy_id not in self.policies:
            raise ModelFileNotFound(policy_id)
        return self.policies[policy_id]

    def save_policy(self, job: Job, policy: PolicyData) -> str:
        self._write(job)
        self.policies["result"] = policy
        return "result"

    def save_checkpoint(self, job: Job, step: int, data: bytes) -> None:
        self._write(job)
        self.checkpoint = data
        self.checkpoint_steps.append(step)

    def load_checkpoint(self, job: Job) -> bytes | None:
        return self.checkpoint


def job(**changes: Any) -> Job:
    return Job("r1", 1, RunSpec(**{"settings": TrainConfig(), "seed": 7, **changes}))


def summing_loop(total: int = 20, after_step: Callable[[int], None] = lambda step: None) -> Loop:
    """Adds random numbers, so that a result depends on every step; `after_step` runs once a step was taken in."""

    def loop(x: LoopInput) -> Iterator[Progress]:
        generator = torch.Generator().manual_seed(x.job.spec.seed)
        done, value = 0, torch.zeros(1)
        if x.start is not None:
            done, value = x.start.step, x.start.tensors["value"].clone()
            generator.set_state(x.start.tensors["generator"])
        for step in range(done + 1, total + 1):
            value = 0.9 * value + torch.rand(1, generator=generator)
            state = LoopState(step, {"value": value, "generator": generator.get_state()}, {"seed": x.job.spec.seed})
            yield Progress(step, total, {"loss": float(value)}, state, policy(float(value)))
            after_step(step)

    return loop


class NoCollector:
    """For loops that collect nothing; tells what it was told."""

    def __init__(self) -> None:
        self.commits = 0
        self.closed: list[bool] = []

    def __call__(self, run_id: str, stop: Callable[[], bool], token: int) -> "NoCollector":
        return self

    def collect(self, *_: Any) -> list[Any]:
        return []

    def ledger(self) -> None: ...

    def waiting_for(self) -> str:
        return ""

    def resume(self, ledger: Any) -> None: ...

    def commit(self) -> None:
        self.commits += 1

    def close(self, *, ended: bool) -> None:
        self.closed.append(ended)


PACE = Pace(report_every_s=0.0, heartbeat_every_s=0.02, checkpoint_every_s=1e9, checkpoint_every_steps=5)


def workshop(registry: Any, loop: Loop, pace: Pace = PACE, collector: Any = None) -> Workshop:
    collectors = {SIMULATED: collector or NoCollector()}
    return Workshop(registry, {"train": loop, "transfer": loop}, collectors, lambda: Trackers([]), pace)


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.005)


def never() -> threading.Event:
    return threading.Event()
