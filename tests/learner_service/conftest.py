"""A registry and a learner in this process, over real gRPC on the loopback interface."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.learner.v1.learner_pb2_grpc import LearnerServiceStub, add_LearnerServiceServicer_to_server
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.common import convert
from services.common.client import connect
from services.common.server import RunningServer, Service, start
from services.common.settings import ServerSettings
from services.learner_service.acting import LoadedPolicies
from services.learner_service.jobs import Loop
from services.learner_service.registry_client import RegistryClient
from services.learner_service.rpc import LearnerRpc
from services.learner_service.run_pool import RunPool
from services.task_registry.__main__ import registry_service
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.store import Store

from .fakes import Pace, job, task, wait_until, workshop

torch.set_num_threads(1)  # as a learner does

PACE = Pace(report_every_s=0.0, heartbeat_every_s=0.05, checkpoint_every_s=1e9, checkpoint_every_steps=5)


class Registry:
    """A registry server that can be stopped and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self._database = Database(f"sqlite:///{folder / 'registry.db'}")
        self._database.migrate()
        self.artefacts = folder / "artefacts"
        self._store = Store(self._database, ArtefactStore(str(self.artefacts)))
        self.server: RunningServer = start(ServerSettings(), [registry_service(self._store)])
        self.address, self._port = self.server.address, self.server.port
        self.channel = connect(self.address)
        self.stub = TaskRegistryServiceStub(self.channel)

    def stop(self) -> None:
        self.server.drain(0.5)

    def restart(self) -> None:
        self.server = start(ServerSettings(port=self._port), [registry_service(self._store)])

    def close(self) -> None:
        self.channel.close()
        self.stop()
        self._database.close()

    def create_task(self) -> str:
        request = registry_pb2.CreateTaskRequest(spec=convert.task_to_message(task()))
        return str(self.stub.CreateTask(request).task.id)

    def create_run(self, task_id: str, seed: int = 7) -> str:
        spec = run_pb2.RunSpec(task_ids=[task_id], seed=seed)
        spec.train.SetInParent()
        return str(self.stub.CreateRun(registry_pb2.CreateRunRequest(spec=spec)).run.id)

    def run(self, run_id: str) -> run_pb2.Run:
        return self.stub.GetRun(registry_pb2.GetRunRequest(run_id=run_id)).run

    def wait(self, run_id: str, state: str, timeout_s: float = 20.0) -> run_pb2.Run:
        wanted = run_pb2.RunState.Value(f"RUN_STATE_{state}")
        wait_until(lambda: self.run(run_id).state == wanted, timeout_s)
        return self.run(run_id)

    def losses(self, run_id: str) -> dict[int, float]:
        request = registry_pb2.ListRunMetricsRequest(run_id=run_id, name="loss", page_size=1000)
        return {m.step: m.value for m in self.stub.ListRunMetrics(request).metrics}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(tmp_path)
    yield made
    made.close()


@dataclass(frozen=True)
class Learner:
    """A learner-service in this process."""

    stub: LearnerServiceStub
    client: RegistryClient
    pool: RunPool
    server: RunningServer


@pytest.fixture
def start_learner(registry: Registry) -> Iterator[Callable[[Loop], Learner]]:
    started: list[Learner] = []

    def start_one(loop: Loop) -> Learner:
        channel = connect(registry.address)
        client = RegistryClient(channel, registry.address, f"learner-{len(started)}", lease_s=3.0)
        pool = RunPool(client, workshop(client, loop, PACE).work, count=1, poll_every_s=0.05)
        rpc = LearnerRpc(client, LoadedPolicies(client.get_weights), pool.nudge)
        descriptor = learner_pb2.DESCRIPTOR.services_by_name["LearnerService"]
        server = start(ServerSettings(), [Service(descriptor, rpc, add_LearnerServiceServicer_to_server)])
        pool.start()
        made = Learner(LearnerServiceStub(connect(server.address)), client, pool, server)
        started.append(made)
        return made

    yield start_one
    for learner in started:
        learner.client.hurry.set()
        learner.pool.stop(5.0)
        learner.server.drain(0.2)


@pytest.fixture
def undisturbed() -> Callable[[int], dict[int, float]]:
    """The losses that the summing loop makes in `total` steps, by step."""
    from services.learner_service.runs import RunSession

    from .fakes import FakeRegistry, never, summing_loop

    def losses(total: int) -> dict[int, float]:
        registry = FakeRegistry(job())
        RunSession(registry.job, workshop(registry, summing_loop(total)), never()).work()
        return {step: m["loss"] for step, m in registry.metrics.items()}

    return losses
