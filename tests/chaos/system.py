"""The whole system as processes that are killed and started again on the same ports and the same state."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.cli.clients import Addresses, Clients
from services.cli.local import HOST, SystemPlan, commands, wait_until_healthy
from services.cli.processes import Child, drain, free_port, start_module
from tests.chaos.databases import PostgresProcess, RedisProcess
from tests.chaos.doorway import Doorway
from tests.chaos.network import Network

QUICK = {
    "LWMECPS_LEARNER_LEASE_S": "3",
    "LWMECPS_LEARNER_CHECKPOINT_EVERY_STEPS": "7",
    "LWMECPS_WORKER_CLAIM_IDLE_S": "2",
    "LWMECPS_WORKER_HEARTBEAT_S": "0.5",
    "LWMECPS_TRACKING": "none",
    "NUMBA_NUM_THREADS": "1",
}
"""Times of every service, so short that many faults fit into minutes."""
LEARNERS, WORKERS = 2, 2
PAUSED = "~"
"""Ends the name of a victim that is to be paused for longer than its lease, and not killed."""
LEASE_S = 3.0


@dataclass
class Service:
    """One of our services: how it is started, and its process (None: it is down)."""

    name: str
    module: str
    env: Mapping[str, str]
    log: Path
    host: str = HOST
    prefix: Sequence[str] = ()
    child: Child | None = None

    def start(self) -> None:
        self.child = start_module(self.name, self.module, self.env, self.log, self.prefix)

    @property
    def address(self) -> str:
        kind = self.name.partition("-")[0].upper()
        return f"{self.host}:{self.env[f'LWMECPS_{kind}_PORT']}"

    @property
    def process(self) -> "subprocess.Popen[bytes] | None":
        return self.child.process if self.child else None


@dataclass
class System:
    """Everything that runs; `restarts` counts the services that ended by themselves and were started again."""

    addresses: Addresses
    redis: RedisProcess
    postgres: PostgresProcess | None
    services: dict[str, Service]
    restarts: dict[str, int] = field(default_factory=dict)

    @property
    def clients(self) -> Clients:
        return Clients(self.addresses)

    def victims(self) -> list[str]:
        """Names of what can be killed."""
        databases = ["redis"] + (["postgres"] if self.postgres else [])
        return [*self.services, "worker", *databases]

    def kill(self, name: str) -> bool:
        """SIGKILL, or SIGSTOP for a name that ends in `PAUSED`; whether there was something to kill."""
        if name == "worker":
            workers = _children(self.services["env"].process)
            if workers:
                os.kill(workers[0], signal.SIGKILL)
            return bool(workers)
        process = self._member(name.rstrip(PAUSED)).process
        if process is None or process.poll() is not None:
            return False
        if name.endswith(PAUSED):
            process.send_signal(signal.SIGSTOP)
            return True
        process.kill()
        process.wait()
        return True

    def start(self, name: str) -> None:
        """Start what was killed, or let go on what was paused; workers are started by their supervisor."""
        if name.endswith(PAUSED):
            process = self._member(name.rstrip(PAUSED)).process
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
        elif name != "worker":
            self._member(name).start()
        if name == "postgres" and self.postgres is not None:
            self.postgres.wait()

    def revive(self, down: frozenset[str]) -> None:
        """Start what ended by itself, as any supervisor of services does; `down`: what is to stay down for now."""
        for name in {*self.services, "redis"} - down:
            process = self._member(name).process
            if process is not None and process.poll() is not None:
                self.restarts[name] = self.restarts.get(name, 0) + 1
                self._member(name).start()

    def wait_until_healthy(self) -> None:
        self.redis.wait()
        for service in self.services.values():
            assert service.child is not None
            wait_until_healthy(service.child, service.address)

    def _member(self, name: str) -> "Service | RedisProcess | PostgresProcess":
        if name == "redis":
            return self.redis
        if name == "postgres":
            assert self.postgres is not None
            return self.postgres
        return self.services[name]


@contextmanager
def running(
    folder: Path,
    *,
    postgres: bool = False,
    volatile: bool = False,
    learners: int = LEARNERS,
    more: Mapping[str, str] | None = None,
    redis_binary: str | None = None,
    door: Doorway | None = None,
    network: Network | None = None,
) -> Iterator[System]:
    """The system, healthy, with its state below `folder` (emptied first); all of it ends with the context.

    `more` is environment of every service. They reach Redis through `door` if there is one. On a `network`, each has
    the host that is called like it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def where(name: str) -> dict[str, Any]:
        return {"host": network.address(name), "prefix": network.prefix(name)} if network else {}

    redis = RedisProcess(folder / "redis", volatile=volatile, binary=redis_binary, **where("redis"))
    database = PostgresProcess(folder / "postgres") if postgres else None
    hosts = [network.address(name) if network else HOST for name in ("registry", "env", "learner")]
    addresses = Addresses(*(f"{host}:{free_port()}" for host in hosts))
    everywhere = "0.0.0.0" if network else HOST
    plan = SystemPlan(
        folder, workers=WORKERS, learners=learners, slots=1, host=everywhere, insecure=network is not None
    )
    if door:
        door.lead_to(redis.port)
    redis_url = f"redis://{HOST}:{door.port}/0" if door else redis.url
    services = {}
    for name, (module, env) in commands(plan, addresses, redis_url).items():
        own = {"LWMECPS_REGISTRY_DATABASE_URL": database.url} if name == "registry" and database else {}
        env = {**env, **QUICK, **own, **(more or {})}
        services[name] = Service(name, module, env, folder / "logs" / f"{name}.log", **where(name))
    system = System(addresses, redis, database, services)
    try:
        redis.start()
        if database:
            database.start()
            database.wait()
        for service in services.values():
            service.start()
        system.wait_until_healthy()
        yield system
    finally:
        drain([s.child for s in reversed(services.values()) if s.child], patience_s=5.0)
        for process in (redis.process, database.process if database else None):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGINT)  # PostgreSQL: at once, without waiting for its clients
                process.wait(20)


def _children(process: "subprocess.Popen[bytes] | None") -> list[int]:
    if process is None or process.poll() is not None:
        return []
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []
