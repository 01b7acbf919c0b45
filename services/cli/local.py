"""The whole system on this machine: Redis, the three services and the gateway as processes of their own."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2
from services.cli import preflight
from services.cli.clients import Addresses
from services.cli.processes import Child, ProcessFailed, drain, free_port, start_module
from services.common.client import connect
from services.common.local_redis import LocalRedis
from services.common.settings import ClientSettings, read
from services.env_service.warming import make_sure
from services.task_registry.settings import RegistrySettings

HOST = "127.0.0.1"
EVERYWHERE = {"0.0.0.0": HOST, "[::]": "[::1]"}
"""Hosts that mean every interface, and where a service that listens there is reached on this machine."""
START_S = 180.0
"""How long the services may take until they are healthy, once the simulator is compiled."""
TOLD_AFTER_S = 2.0
"""After so long people are told what is waited for."""
NAMES = {
    "registry": registry_pb2.DESCRIPTOR.services_by_name["TaskRegistryService"].full_name,
    "env": env_pb2.DESCRIPTOR.services_by_name["EnvService"].full_name,
    "learner": learner_pb2.DESCRIPTOR.services_by_name["LearnerService"].full_name,
}
"""What health calls the services."""
ENDING_ORDER = ("gateway", "learner", "env", "registry")
"""Kinds of services. Learners let go of their runs first, while registry and workers still answer; before them goes who
asks all of them.
"""


@dataclass(frozen=True)
class SystemPlan:
    """What to start; port 0 means a free one, an empty `redis_url` a Redis of our own."""

    state: Path
    registry_port: int = 0
    env_port: int = 0
    learner_port: int = 0
    gateway_port: int | None = None
    """None: no gateway."""
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
    kept: bool = False
    """The state is somebody's own and stays, so that variables may say where it is."""


@dataclass(frozen=True)
class System:
    """A running system."""

    addresses: Addresses
    redis_url: str
    children: dict[str, Child]
    """The services, and the Redis if it is our own."""
    gateway: str = ""
    """Where the gateway's page is; empty: there is none."""

    def check(self) -> None:
        """Raise `ProcessFailed` if one of the children has ended."""
        for child in self.children.values():
            child.check()


@contextmanager
def running(plan: SystemPlan, tell: Callable[[str], None] = lambda text: None) -> Iterator[System]:
    """Start everything, wait until it is healthy, and drain it at the end; `tell` gets what people should know.

    Raises, before anything is started, `InvalidInput` and `QueueUnavailable` that name the option or variable which
    can't be used. Meanwhile SIGTERM ends this process like ctrl-C, so that it takes its children along.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if plan.redis_url:
        preflight.check_redis_url(plan.redis_url)
    taken = preflight.adopted(os.environ, kept=plan.kept)
    preflight.check_state(plan.state)
    variable = RegistrySettings.variable("database_url")
    with ExitStack() as stack:
        stack.enter_context(preflight.alone(plan.state))
        given = {"registry": plan.registry_port, "env": plan.env_port, "learner": plan.learner_port}
        given |= {} if plan.gateway_port is None else {"gateway": plan.gateway_port}
        preflight.check_ports(plan.host, {f"--{name}-port": port for name, port in given.items()})
        if taken:
            tell(f"taken from the environment: {', '.join(taken)}")
        plan = replace(plan, gateway_port=given["gateway"] or free_port()) if "gateway" in given else plan
        ports = [given[name] or free_port() for name in NAMES]
        addresses = Addresses(*(f"{EVERYWHERE.get(plan.host, plan.host)}:{port}" for port in ports))
        planned = commands(plan, addresses, plan.redis_url or "redis://127.0.0.1:6379/0")
        preflight.check_services(
            plan.host, {name: {**os.environ, **planned[name][1]} for name in ENDING_ORDER if name in planned}
        )
        if plan.redis_url:
            preflight.check_redis(plan.redis_url)
        if url := os.environ.get(variable):
            preflight.check_database(variable, url)
        redis = stack.enter_context(LocalRedis(plan.redis_url or None))
        children = {"redis": Child("redis", redis.process, redis.log)} if redis.process else {}
        stack.callback(
            lambda: drain([child for kind in ENDING_ORDER for name, child in children.items() if name.startswith(kind)])
        )
        for name, (module, env) in commands(plan, addresses, redis.url).items():
            if name == "env":
                make_sure(tell, quiet=True)  # here, where no time runs out; the service tells what was wrong
            children[name] = start_module(name, module, env, plan.state / "logs" / f"{name}.log")
        system = System(addresses, redis.url, children)
        for name, address in vars(addresses).items():
            wait_until_healthy(children[name], address, tell, system.check)
        yield replace(system, gateway=_page(plan, system))


def commands(plan: SystemPlan, addresses: Addresses, redis_url: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Service → (module, environment); Python's own threads are enough, so libraries get one each.

    Where things are kept is the plan's, unless variables say otherwise.
    """
    threads = {"OMP_NUM_THREADS": "1"}
    listening = {"HOST": plan.host} | ({"INSECURE": "true"} if plan.insecure else {})
    registry = listening | {
        "PORT": _port(addresses.registry),
        "DATABASE_URL": os.environ.get("LWMECPS_REGISTRY_DATABASE_URL") or f"sqlite:///{plan.state / 'registry.db'}",
        "ARTEFACTS_URL": os.environ.get("LWMECPS_REGISTRY_ARTEFACTS_URL") or str(plan.state / "artefacts"),
    }
    env = listening | {"PORT": _port(addresses.env), "REDIS_URL": redis_url, "COLLECTION_WORKERS": str(plan.workers)}
    work = os.environ.get("LWMECPS_LEARNER_WORK_DIRECTORY")
    learner = listening | {
        "PORT": _port(addresses.learner),
        "REGISTRY": addresses.registry,
        "ENV": addresses.env,
        "REDIS_URL": redis_url,
        "SLOTS": str(plan.slots),
        "WORK_DIRECTORY": work or str(plan.tracking or plan.state / "learner"),
    }
    commands = {
        "registry": ("services.task_registry", threads | _prefixed("LWMECPS_REGISTRY_", registry)),
        "env": ("services.env_service", threads | _prefixed("LWMECPS_ENV_", env)),
        "learner": ("services.learner_service", threads | _prefixed("LWMECPS_LEARNER_", learner)),
    }
    if plan.gateway_port is not None:
        where = {name.upper(): address for name, address in vars(addresses).items()}
        gateway = listening | where | {"PORT": str(plan.gateway_port)}
        commands["gateway"] = ("services.gateway", threads | _prefixed("LWMECPS_GATEWAY_", gateway))
    for number in range(2, plan.learners + 1):
        another = learner | {"PORT": str(free_port())}
        commands[f"learner-{number}"] = ("services.learner_service", threads | _prefixed("LWMECPS_LEARNER_", another))
    return commands


def _page(plan: SystemPlan, system: System) -> str:
    """Where the gateway's page is, once it is listened there; empty without one."""
    if plan.gateway_port is None:
        return ""
    child, began, host = system.children["gateway"], time.monotonic(), EVERYWHERE.get(plan.host, plan.host)
    while time.monotonic() - began < START_S:
        system.check()
        with suppress(OSError), socket.create_connection((host.strip("[]"), plan.gateway_port), timeout=1.0):
            scheme = "https" if os.environ.get("LWMECPS_GATEWAY_TLS_CERT_FILE") else "http"
            return f"{scheme}://{host}:{plan.gateway_port}/"
        time.sleep(0.05)
    raise ProcessFailed(f"gateway did not listen after {START_S:.0f} s; its log is {child.log}")


def _prefixed(prefix: str, values: dict[str, str]) -> dict[str, str]:
    return {prefix + name: value for name, value in values.items()}


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def wait_until_healthy(
    child: Child, address: str, tell: Callable[[str], None] = lambda text: None, check: Callable[[], None] | None = None
) -> None:
    """Return when the service at `address`, of which kind the child's name says, and all that it depends on is SERVING.

    Raises `ProcessFailed` when it takes too long, and what `check` raises, by default when it has ended; `tell` hears
    what is waited for.
    """
    began = time.monotonic()
    told, service = "", NAMES[child.name.partition("-")[0]]
    with connect(address, read(ClientSettings, ClientSettings.prefix)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() - began < START_S:
            (check or child.check)()
            missing = _missing(health, service)
            if not missing:
                return
            if missing != told and time.monotonic() - began > TOLD_AFTER_S:
                told = missing
                tell(f"waiting for {child.name}: {missing}")
            time.sleep(0.05)
    raise ProcessFailed(f"{child.name} was not healthy after {START_S:.0f} s ({told}); its log is {child.log}")


def _missing(health: health_pb2_grpc.HealthStub, service: str) -> str:
    """What does not serve yet, by name; empty when the service does."""
    try:
        statuses = health.List(health_pb2.HealthListRequest(), timeout=1.0, wait_for_ready=True).statuses
    except grpc.RpcError:
        return "it does not listen yet"
    serving = health_pb2.HealthCheckResponse.SERVING
    if service in statuses and statuses[service].status == serving:
        return ""
    return ", ".join(sorted(name for name, s in statuses.items() if s.status != serving and name != service)) or service
