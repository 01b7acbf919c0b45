"""What a server says about itself by `grpc.health.v1`, and to probes that know no gRPC by HTTP.

The empty name: the process lives and is not draining. The name of a dependency (`database`, `rollouts`, …): it can be
used now. A service's full name: it can do all that it was started for, so all its dependencies can be used.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import structlog
from grpc_health.v1 import health, health_pb2
from prometheus_client import Gauge

SERVICE_NAME: str = health.SERVICE_NAME
CHECK_EVERY_S = 1.0
DATABASE, REGISTRY, ROLLOUTS, WORKERS = "database", "registry", "rollouts", "workers"
"""Names of dependencies: the registry's database, a learner's registry, the way of rollouts through Redis, and
collection workers that report.
"""
VERSION = version("lwmecps")
VERSION_KEY, CLOCK_KEY = "lwmecps-version", "lwmecps-clock"
"""Metadata of an answer to List: the server's version, and what its clock says (Unix seconds)."""
Checks = Mapping[str, Callable[[], None]]
"""Name of a dependency → raises when it can't be used now."""
SERVES = Gauge("lwmecps_serving", "Whether what health knows by this name is serving: 1, else 0.", ["name"])
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_log = structlog.get_logger(__name__)


class HealthOfServer(health.HealthServicer):  # type: ignore[misc]
    """Answers on threads of its own, so that it does when all others are busy, and watches `checks` until it is ended.

    What it says is at most `CHECK_EVERY_S` late; before the first check, nothing that depends on one is serving.
    """

    def __init__(self, services: Sequence[str], checks: Checks) -> None:
        super().__init__()
        self._services, self._checks = services, checks
        self._well: dict[str, bool] = dict.fromkeys(checks, False)
        self._ended = threading.Event()
        self._telling = threading.Lock()
        for name in services:
            self.set(name, NOT_SERVING if checks else SERVING)
        for name in checks:
            self.set(name, NOT_SERVING)

    def begin(self) -> None:
        """Check from now on."""
        for name, check in self._checks.items():
            threading.Thread(target=self._watch, args=(name, check), name=f"check-{name}", daemon=True).start()

    def end(self) -> None:
        """Say of everything, for good, that it is not serving."""
        self._ended.set()
        self.enter_graceful_shutdown()

    def set(self, service: str, status: int) -> None:
        """As the base class, and for Prometheus."""
        super().set(service, status)
        if service:
            SERVES.labels(service).set(self.statuses()[service] == SERVING)

    def Check(self, request: Any, context: Any) -> Any:
        return super().Check(request, context)

    def List(self, request: Any, context: Any) -> Any:
        context.send_initial_metadata(((VERSION_KEY, VERSION), (CLOCK_KEY, f"{time.time():.3f}")))
        return health_pb2.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=status)  # type: ignore[arg-type]
                for name, status in self.statuses().items()
            }
        )

    def statuses(self) -> dict[str, int]:
        """Every name that is known, with its status."""
        with self._lock:
            return dict(self._server_status)

    def _watch(self, name: str, check: Callable[[], None]) -> None:
        well: bool | None = None
        while not self._ended.is_set():
            before, why = well, ""
            try:
                check()
                well = True
            except Exception as error:  # whatever it is, it is why this can't be served
                well, why = False, str(error)
            if well is not before:
                self._tell(name, well)
                if well:
                    _log.info("serving", what=name)
                else:
                    _log.warning("not serving", what=name, error=why)
            self._ended.wait(CHECK_EVERY_S)

    def _tell(self, name: str, well: bool) -> None:
        with self._telling:
            self._well[name] = well
            self.set(name, SERVING if well else NOT_SERVING)
            for service in self._services:
                self.set(service, SERVING if all(self._well.values()) else NOT_SERVING)


_POOL = ThreadPoolExecutor(2, "health")
for _method in (HealthOfServer.Check, HealthOfServer.List):
    _method.experimental_thread_pool = _POOL  # type: ignore[attr-defined]
