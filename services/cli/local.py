"""The whole system on this machine: Redis and the three services as processes of their own."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.clients import Addresses
from services.cli.processes import Child, ProcessFailed, drain, free_port, start_module
from services.common.client import connect
from services.common.local_redis import LocalRedis
from services.common.settings import ClientSettings, read

HOST = "127.0.0.1"
EVERYWHERE = {"0.0.0.0": HOST, "[::]": "[::1]"}
"""Hosts that mean every interface, and where a service that listens there is reached on this machine."""
START_S = 180.0
"""How long the services may take until they are healthy (the first start compiles the simulator)."""
ENDING_ORDER = ("learner", "env", "registry")
"""Kinds of services. Learners let go of their runs first, while registry and workers still answer."""


@dataclass(frozen=True)
class SystemPlan:
    """What to start; port 0 means a free one, an empty `redis_url` a Redis of our own."""

    state: Path
    registry_port: int = 0
    env_port: int = 0
    learner_port: int = 0
    redis_url: str = ""
    workers: int = 1
    """Collection worker processes."""
    learners: int = 1
    """Learner processes; clients talk to the first, runs go to whichever is free."""
    slots: int = 2
    """Runs that each learner works on at once."""
    tracking: Path | None = None
    """Where the trackers write; None: in a folder under `state`."""
    host: str = HOST
    """Where the services listen; Redis stays on loopback."""
    insecure: bool = False
    """Let others reach them also without TLS and tokens."""


@dataclass(frozen=True)
class System:
    """A running system."""

    addresses: Addresses
    redis_url: str
    children: dict[str, Child]

    def check(self) -> None:
        """Raise `ProcessFailed` if a service has ended."""
        for child in self.children.values():
            child.check()


@contextmanager
def running(plan: SystemPlan) -> Iterator[System]:
    """Start everything, wait until it is healthy, and drain it at the end.

    Meanwhile SIGTERM ends this process like ctrl-C, so that it takes its children along.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    plan.state.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        redis = stack.enter_context(LocalRedis(plan.redis_url or None))
        ports = [given or free_port() for given in (plan.registry_port, plan.env_port, plan.learner_port)]
        host = EVERYWHERE.get(plan.host, plan.host)
        addresses = Addresses(*(f"{host}:{port}" for port in ports))
        children: dict[str, Child] = {}
        stack.callback(
            lambda: drain([child for kind in ENDING_ORDER for name, child in children.items() if name.startswith(kind)])
        )
        for name, (module, env) in commands(plan, addresses, redis.url).items():
            children[name] = start_module(name, module, env, plan.state / "logs" / f"{name}.log")
        system = System(addresses, redis.url, children)
        for name, address in vars(addresses).items():
            wait_until_healthy(children[name], address)
        yield system


def commands(plan: SystemPlan, addresses: Addresses, redis_url: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Service → (module, environment); Python's own threads are enough, so libraries get one each."""
    threads = {"OMP_NUM_THREADS": "1"}
    listening = {"HOST": plan.host} | ({"INSECURE": "true"} if plan.insecure else {})
    registry = listening | {
        "PORT": _port(addresses.registry),
        "DATABASE_URL": f"sqlite:///{plan.state / 'registry.db'}",
        "ARTEFACTS_URL": str(plan.state / "artefacts"),
    }
    env = listening | {"PORT": _port(addresses.env), "REDIS_URL": redis_url, "COLLECTION_WORKERS": str(plan.workers)}
    learner = listening | {
        "PORT": _port(addresses.learner),
        "REGISTRY": addresses.registry,
        "ENV": addresses.env,
        "REDIS_URL": redis_url,
        "SLOTS": str(plan.slots),
        "WORK_DIRECTORY": str(plan.tracking or plan.state / "learner"),
    }
    commands = {
        "registry": ("services.task_registry", threads | _prefixed("LWMECPS_REGISTRY_", registry)),
        "env": ("services.env_service", threads | _prefixed("LWMECPS_ENV_", env)),
        "learner": ("services.learner_service", threads | _prefixed("LWMECPS_LEARNER_", learner)),
    }
    for number in range(2, plan.learners + 1):
        another = learner | {"PORT": str(free_port())}
        commands[f"learner-{number}"] = ("services.learner_service", threads | _prefixed("LWMECPS_LEARNER_", another))
    return commands


def _prefixed(prefix: str, values: dict[str, str]) -> dict[str, str]:
    return {prefix + name: value for name, value in values.items()}


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def wait_until_healthy(child: Child, address: str) -> None:
    """Return when the service at `address` says SERVING; raises `ProcessFailed` when it ends or takes too long."""
    deadline = time.monotonic() + START_S
    with connect(address, read(ClientSettings, "LWMECPS_CLIENT_")) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < deadline:
            child.check()
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0, wait_for_ready=True)
            except grpc.RpcError:
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            time.sleep(0.05)
    raise ProcessFailed(f"{child.name} was not healthy after {START_S:.0f} s; its log is {child.log}")
