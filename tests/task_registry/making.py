"""What the tests of the registry are made of."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from lwmecps_core.specs import ClusterSpec, DeploymentSpec, NodeSpec, TaskSpec, WorkloadSpec
from services.task_registry.domain import Run, RunSpec
from services.task_registry.store import Store


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def make_task(name: str = "city", **changes: object) -> TaskSpec:
    return TaskSpec(
        name=name,
        cluster=ClusterSpec(nodes=(NodeSpec(name="a", cpu_millicores=4000, ram_mib=8192),), rtt_ms=((0.0,),)),
        deployments=(DeploymentSpec(name="web"),),
        workload=WorkloadSpec(base_users=(10.0,), share=((1.0,),)),
        **changes,  # type: ignore[arg-type]
    )


def make_run_spec(*task_ids: str, kind: str = "train", **settings: object) -> RunSpec:
    return RunSpec(kind=kind, settings={"seed": 1} | settings, task_ids=task_ids)


def claimed(store: Store, owner: str = "learner") -> Run:
    """A fresh run, held by `owner`."""
    store.runs.create(make_run_spec())
    run = store.runs.claim(owner)
    assert run is not None
    return run
