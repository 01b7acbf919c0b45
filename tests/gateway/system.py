"""The services in this process, over real gRPC on the loopback interface, and a gateway before them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from lwmecps_core.run_config import SIMULATED
from lwmecps_core.tracking import Trackers
from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.env.v1.env_pb2_grpc import add_EnvServiceServicer_to_server
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.learner.v1.learner_pb2_grpc import add_LearnerServiceServicer_to_server
from services.common.client import connect
from services.common.server import RunningServer, Service, start
from services.common.settings import ClientSettings, ServerSettings
from services.env_service.rpc import EnvServicer, OpenSession
from services.env_service.sessions import SessionTable
from services.env_service.settings import EnvServiceSettings
from services.gateway.serving import RunningGateway
from services.gateway.settings import GatewaySettings
from services.learner_service.acting import LoadedPolicies
from services.learner_service.loops import LOOPS
from services.learner_service.registry_client import RegistryClient
from services.learner_service.rpc import LearnerRpc
from services.learner_service.run_logs import RunLogs
from services.learner_service.run_pool import RunPool
from services.learner_service.runs import Pace, Workshop
from services.task_registry.__main__ import registry_service
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.store import Store
from tests.learner_service.test_real_loops import OpenLocal

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "predecessor"


@dataclass(frozen=True)
class InProcess:
    """A running system; `store` is the registry's own."""

    url: str
    addresses: dict[str, str]
    store: Store
    gateway: RunningGateway


@contextmanager
def running(
    folder: Path,
    settings: ServerSettings | None = None,
    slots: int = 1,
    token: str = "",
    trackers: Callable[[], Trackers] = lambda: Trackers([]),
    **gateway: object,
) -> Iterator[InProcess]:
    """The services with `settings`, a learner with so many slots (it calls with `token`), and the gateway."""
    settings = settings or ServerSettings()
    with ExitStack() as stack:
        database = Database(f"sqlite:///{folder / 'registry.db'}")
        stack.callback(database.close)
        database.migrate()
        store = Store(database, ArtefactStore(str(folder / "artefacts")))

        def serve(service: Service) -> RunningServer:
            server = start(settings, [service])
            stack.callback(server.drain, 0.2)
            return server

        registry = serve(registry_service(store))
        sessions = SessionTable[OpenSession](32, 2**24, 600.0)
        stack.callback(sessions.close_all)
        envs = EnvServicer(sessions, EnvServiceSettings(), lambda: [])
        env = serve(Service(env_pb2.DESCRIPTOR.services_by_name["EnvService"], envs, add_EnvServiceServicer_to_server))
        channel = stack.enter_context(connect(registry.address, ClientSettings(token=token)))
        client = RegistryClient(channel, registry.address, "learner", lease_s=30.0)
        pace = Pace(report_every_s=0.0, heartbeat_every_s=0.2, checkpoint_every_s=1e9, checkpoint_every_steps=10**9)
        workshop = Workshop(client, LOOPS, {SIMULATED: OpenLocal()}, trackers, pace)
        pool = RunPool(client, workshop.work, count=slots, poll_every_s=0.1)
        logs = RunLogs()
        before = structlog.get_config()
        logs.attach()
        stack.callback(structlog.configure, **before)
        rpc = LearnerRpc(client, LoadedPolicies(client.get_weights), pool.nudge, logs=logs)
        descriptor = learner_pb2.DESCRIPTOR.services_by_name["LearnerService"]
        learner = serve(Service(descriptor, rpc, add_LearnerServiceServicer_to_server))
        pool.start()
        stack.callback(pool.stop, 10.0)
        stack.callback(client.hurry.set)
        addresses = {"registry": registry.address, "env": env.address, "learner": learner.address}
        made = RunningGateway(GatewaySettings(port=0, **addresses, **gateway), ClientSettings())  # type: ignore[arg-type]
        stack.callback(made.close)
        yield InProcess(made.url, addresses, store, made)
