"""What the two benchmarks of stepping over gRPC share: the real service as a process, and a session on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from bench.cases import SEED, square_task
from bench.processes import connect, running
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.env.v1 import env_pb2 as pb
from protos.lwmecps.env.v1 import env_pb2_grpc
from services.cli.processes import free_port
from services.common import convert

COMMAND = "services.env_service"


@dataclass(frozen=True)
class RemoteSession:
    """A session of `size` environments that was reset, and the actions `[size, A]` to step it with."""

    stub: Any
    id: str
    actions: list[Any]


@contextmanager
def env_service() -> Iterator[grpc.Channel]:
    """A running env-service, as users start it but without collection workers."""
    port = free_port()
    env = {"LWMECPS_ENV_PORT": str(port), "LWMECPS_ENV_COLLECTION_WORKERS": "0", "LWMECPS_ENV_LOG_LEVEL": "error"}
    with running(COMMAND, (), env), connect(f"127.0.0.1:{port}") as channel:
        yield channel


def open_session(channel: grpc.Channel, size: int) -> RemoteSession:
    """Open and reset a session on the benchmarks' 4 × 4 task; the first step, which compiles, is done."""
    stub = env_pb2_grpc.EnvServiceStub(channel)
    task = convert.task_to_message(square_task(4))
    created = stub.CreateSession(pb.CreateSessionRequest(task=task, num_envs=size, seed=SEED))
    stub.ResetSession(pb.ResetSessionRequest(session_id=created.session_id))
    rng = np.random.default_rng(SEED)
    actions = [rng.integers(0, 3, (size, created.env_spec.action_size), np.int32) for _ in range(8)]
    session = RemoteSession(stub, created.session_id, actions)
    stub.StepSession(pb.StepSessionRequest(session_id=session.id, action=tensor(actions[0])))
    return session


def tensor(action: Any) -> tensor_pb2.Tensor:
    """An action as the message that a client sends."""
    return tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_INT32, shape=action.shape, data=action.tobytes())
