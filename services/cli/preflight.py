"""What must hold before the system is started here; what doesn't is said by the name of its option or variable."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from filelock import FileLock, Timeout

from lwmecps_core.errors import InvalidInput, QueueUnavailable, ServiceUnavailable, Violation
from lwmecps_core.rollout.redis_queue import check_reachable, check_url, check_version, connect
from lwmecps_core.tracking import ENVIRONMENT_VARIABLE
from services.common import tracing
from services.common.auth import guard
from services.common.settings import (
    ClientSettings,
    Prefixed,
    ServerSettings,
    check_files,
    files_named,
    read,
    without_password,
)
from services.common.tls import server_credentials
from services.env_service.settings import EnvServiceSettings, WorkerSettings
from services.gateway.settings import GatewaySettings, check_certificate
from services.learner_service.settings import LearnerSettings
from services.task_registry.settings import RegistrySettings

SERVICES: Mapping[str, type[ServerSettings] | type[GatewaySettings]] = {
    "registry": RegistrySettings,
    "env": EnvServiceSettings,
    "learner": LearnerSettings,
    "gateway": GatewaySettings,
}
OTHERS: tuple[type[Prefixed], ...] = (ClientSettings, WorkerSettings)
REACH_S = 4.5
"""How long the Redis of an option may take to answer."""
_DECIDED = {
    "host": "--host",
    "redis_url": "--redis-url",
    "collection_workers": "--workers",
    "slots": "--slots",
    "registry": "nothing: it is the registry that is started here",
    "env": "nothing: it is the env-service that is started here",
    "learner": "nothing: it is the learner that is started here",
}
"""Settings that the options of `up` decide."""
_KEPT = ("database_url", "artefacts_url", "work_directory")
"""Settings of the folders that `up` chooses unless they are set, and that nobody chooses for a demo."""


def adopted(environ: Mapping[str, str], *, kept: bool) -> list[str]:
    """Names of the variables that the services take from the environment.

    Raises `InvalidInput` naming each that is no setting or that an option decides, and, unless the state is `kept`,
    those that would let a demonstration write into somebody's own database.
    """
    given = [name for name, value in environ.items() if value and name.startswith("LWMECPS_")]
    known = {cls.variable(f.name) for cls in (*SERVICES.values(), *OTHERS) for f in fields(cls)}  # type: ignore[arg-type]
    decided = dict[str, str]()
    for name, service in SERVICES.items():
        options = {field: f"say it by {option}" for field, option in _DECIDED.items()}
        options |= {"port": f"say it by --{name}-port"}
        options |= {} if kept else dict.fromkeys(_KEPT, "a demonstration keeps its state in a folder of its own")
        own = {f.name for f in fields(service)}
        decided |= {service.variable(field): reason for field, reason in options.items() if field in own}
    wrong = [Violation(name, f"{decided[name]}, and unset the variable") for name in given if name in decided]
    for cls in (*SERVICES.values(), *OTHERS):
        read(cls, cls.prefix, {name: v for name, v in environ.items() if name in given and name not in decided})
    if wrong:
        raise InvalidInput("environment", wrong)
    traces = [tracing.check(environ)] if tracing.wanted(environ) else []
    return sorted([*(name for name in given if name in known or name == ENVIRONMENT_VARIABLE), *traces])


def check_services(host: str, environments: Mapping[str, Mapping[str, str]]) -> None:
    """Raise `InvalidInput` for what the services would refuse: settings, and files that they name.

    `environments` is service → all its variables.
    """
    for name, environ in environments.items():
        cls = SERVICES[name]
        try:
            settings: ServerSettings | GatewaySettings = read(cls, cls.prefix, environ)
        except InvalidInput as error:
            raise _in_terms_of_options(error, cls, host) from None
        check_files(settings)
        if isinstance(settings, GatewaySettings):
            check_certificate(settings)
            continue
        with files_named(settings):
            guard(settings)
            if settings.tls_cert_file:
                server_credentials(settings)


def _in_terms_of_options(error: InvalidInput, cls: type[Prefixed], host: str) -> InvalidInput:
    """The same, of `--host` where that is what opens a service to others."""
    variable = cls.variable("host")
    if [v.field for v in error.violations] != [variable]:
        return error
    reason = error.violations[0].reason.removeprefix(f"{variable} ")
    return InvalidInput("options", [Violation("--host", f"{reason}; --insecure says that of all services")])


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Raise `InvalidInput` naming each option (`ports`: option → port, 0 for any) whose port can't be listened on."""
    address = host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    taken: dict[int, str] = {}
    wrong = []
    for option, port in {"--host": 0, **ports}.items():
        if port in taken:
            wrong.append(Violation(option, f"{port} is that of {taken[port]}: choose another, or 0 for a free one"))
        elif port:
            taken[port] = option
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if option == "--host":
                    raise InvalidInput(
                        "options", [Violation(option, f"{host}: {error.strerror}: none of ours")]
                    ) from None
                reason = f"can't listen on {port}: {error.strerror}: choose another, or 0 for a free one"
                wrong.append(Violation(option, reason))
    if wrong:
        raise InvalidInput("options", wrong)


def check_redis_url(url: str) -> None:
    """Raise `InvalidInput` that names the option for a URL that no service would take."""
    try:
        check_url(url)
    except ValueError as error:
        raise InvalidInput("options", [Violation("--redis-url", str(error))]) from None


def check_redis(url: str) -> None:
    """Raise `QueueUnavailable` that names the option unless a Redis that we can use answers within `REACH_S`."""
    remedy = "start it, or leave the option (and REDIS_URL) out: a Redis of our own is started then"

    def ask() -> None:
        with connect(url, timeout_s=2.0) as client:
            check_version(client)
            check_reachable(client)

    try:
        within(REACH_S, ask)
    except (QueueUnavailable, TimeoutError) as error:
        raise QueueUnavailable(f"--redis-url {without_password(url)}: {str(error).rstrip('.')}: {remedy}") from None


def check_database(variable: str, url: str) -> None:
    """Raise `ServiceUnavailable` that names the variable unless the server that it names answers within `REACH_S`."""
    if url.startswith("sqlite"):
        return
    from services.task_registry.database import Database  # SQLAlchemy: only where there is such a variable

    database = Database(url)
    try:
        within(REACH_S, database.check)
    except (ServiceUnavailable, TimeoutError) as error:
        reason = " ".join(str(error).split())
        raise ServiceUnavailable(f"{variable}: {reason}: start it, or unset the variable to use SQLite") from None
    finally:
        database.close()


def within(seconds: float, call: Callable[[], None]) -> None:
    """Call it; raises what it raises, and `TimeoutError` when it takes longer (looking a name up has no limit)."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if raised:
        raise raised[0]


def check_state(state: Path) -> None:
    """Raise `InvalidInput` naming `--state` unless files can be written there."""
    probe = state / f".probe-{os.getpid()}"
    try:
        state.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = f"{state} can't be written: {error.strerror}: give another folder"
        raise InvalidInput("options", [Violation("--state", reason)]) from None


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Keep others off the folder; raises `InvalidInput` naming `--state` where another process has it already.

    The system lets go of the lock when this process ends, however that happens; the file stays.
    """
    lock = FileLock(state / "up.lock", timeout=0)
    reason = ""
    try:
        lock.acquire()
    except Timeout:
        reason = f"{state} is in use by another `lwmecps up`: end that one, or give another folder"
    except OSError as error:
        reason = f"{lock.lock_file} can't be locked: {error.strerror}: give another folder"
    if reason:
        raise InvalidInput("options", [Violation("--state", reason)])
    try:
        yield
    finally:
        lock.release()
