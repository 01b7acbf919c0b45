"""What the tests of the registry are made of."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lwmecps_core.kinds import KINDS
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, EnvSpec, NodeSpec, TaskSpec, WorkloadSpec
from services.common.run_spec import RunSpec
from services.task_registry.domain import Policy, Run
from services.task_registry.store import Expected, Store

ENV_SPEC = EnvSpec("lwmecps-v3", (("global", (2,)), ("deployment", (1, 3))), (9,), 1, 120, "deployment")


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


def make_run_spec(*task_ids: str, kind: str = "train", **fields: Any) -> RunSpec:
    return RunSpec(**{"settings": KINDS[kind].settings(), "task_ids": task_ids, "seed": 1} | fields)


def claimed(store: Store, owner: str = "learner") -> Run:
    """A fresh run, held by `owner`."""
    store.runs.create(make_run_spec())
    run = store.runs.claim(owner)
    assert run is not None
    return run


def make_policy(store: Store, name: str = "p", **fields: Any) -> Policy:
    """A policy without weights, made outside of any run unless `fields` say otherwise."""
    return store.policies.create(name, PPOConfig(hidden_size=(8,)), ENV_SPEC, **fields)


def make_weights(size_bytes: int = 300_000) -> tuple[bytes, Expected]:
    """Some content of an artefact, and what its sender says about it."""
    content = (bytes(range(251)) * (size_bytes // 251 + 1))[:size_bytes]
    return content, describe(content)


def describe(content: bytes) -> Expected:
    return Expected(len(content), hashlib.sha256(content).hexdigest())
