"""What the benchmarks of acting share: the whole system as processes, with a task and policies with random weights."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from bench.cases import SEED, square_task
from bench.processes import connect
from lwmecps_core import algorithms, policy
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.training.sampling import torch_generator
from protos.lwmecps.registry.v1 import policy_pb2, registry_pb2
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.cli import local
from services.common import convert

TASK = square_task(4, "lwmecps-v3")


@dataclass(frozen=True)
class Acting:
    """A channel to the learner-service, the id of `TASK`, and those of a policy with each context."""

    channel: grpc.Channel
    task_id: str
    policy_ids: dict[str, str]


@contextmanager
def acting_system(contexts: Sequence[str]) -> Iterator[Acting]:
    """Start it; the learner works on no runs meanwhile."""
    with (
        tempfile.TemporaryDirectory() as folder,
        local.running(local.SystemPlan(Path(folder), slots=0)) as system,
        connect(system.addresses.registry) as channel,
        connect(system.addresses.learner) as learner,
    ):
        stub: Any = TaskRegistryServiceStub(channel)  # type: ignore[no-untyped-call]
        spec = convert.task_to_message(TASK)
        task_id = stub.CreateTask(registry_pb2.CreateTaskRequest(spec=spec)).task.id
        yield Acting(learner, task_id, {name: _stored(stub, name) for name in contexts})


def _stored(stub: Any, context: str) -> str:
    config, spec = PPOConfig(context=context), env_spec(TASK)  # type: ignore[arg-type]
    params, extra = algorithms.make(config, spec).init(torch_generator(SEED, "weights"))
    data = policy.to_bytes(policy.PolicyData(config, spec, params, extra))
    request = registry_pb2.CreatePolicyRequest(
        name=context, algorithm=convert.algorithm_to_message(config), env_spec=convert.env_spec_to_message(spec)
    )
    made = stub.CreatePolicy(request).policy.id
    artefact = policy_pb2.ArtefactHeader(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    header = registry_pb2.PolicyWeightsHeader(policy_id=made, artefact=artefact)
    parts = (
        registry_pb2.UploadPolicyWeightsRequest(header=header),
        registry_pb2.UploadPolicyWeightsRequest(chunk=data),
    )
    stub.UploadPolicyWeights(iter(parts))
    return str(made)
