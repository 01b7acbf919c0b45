"""`python -m services.env_service`: sessions over gRPC, and the collection workers beside them.

Settings are environment variables, `LWMECPS_ENV_` + the name of a field of `EnvServiceSettings`.
"""

import os
import threading
from collections.abc import Callable

if __name__ == "__main__":  # whoever imports this has an environment of his own
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # before numba is imported; calls run on threads of their own

import structlog
from prometheus_client import REGISTRY, Gauge

from lwmecps_core.rollout.redis_queue import RedisQueue, check_reachable
from lwmecps_core.rollout.redis_queue import connect as connect_redis
from lwmecps_core.rollout.streams import REQUEST_LIMITS, REQUEST_STREAM
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.common.health import ROLLOUTS, WORKERS
from services.common.server import Service, serve
from services.common.settings import read
from services.common.starting import begin, check_folder
from services.env_service.rpc import EnvServicer, OpenSession
from services.env_service.sessions import SessionTable
from services.env_service.settings import PREFIX, WORKER_PREFIX, EnvServiceSettings, WorkerSettings
from services.env_service.warming import make_sure
from services.env_service.worker_reports import WorkerMetrics
from services.env_service.workers import check_working, report_source, status_source, worker_supervisor

SESSIONS = Gauge("lwmecps_env_sessions", "Sessions that are open.")
REAP_EVERY_S = 5.0

log = structlog.get_logger(__name__)


def main() -> None:
    """Serve until SIGTERM, then let calls and workers finish."""
    settings = read(EnvServiceSettings, PREFIX)
    read(WorkerSettings, WORKER_PREFIX)  # refuse here what the workers would refuse, again and again
    if settings.profiles_root:
        check_folder(settings.variable("profiles_root"), settings.profiles_root, make=False)
    # Before the workers start, so that they load what this compiles; nobody is served before.
    if not make_sure():
        raise SystemExit(1)  # it has told why
    sessions = SessionTable[OpenSession](settings.max_sessions, settings.max_numbers, settings.session_idle_s)
    SESSIONS.set_function(lambda: len(sessions))
    supervisor = worker_supervisor(settings)
    redis = connect_redis(settings.redis_url, timeout_s=2.0)
    reports = report_source(redis, supervisor)
    if settings.collection_workers:
        REGISTRY.register(WorkerMetrics(reports, RedisQueue(redis, REQUEST_STREAM, REQUEST_LIMITS)))
    servicer = EnvServicer(sessions, settings, status_source(supervisor, reports))
    service = Service(
        env_pb2.DESCRIPTOR.services_by_name["EnvService"], servicer, env_pb2_grpc.add_EnvServiceServicer_to_server
    )
    checks: dict[str, Callable[[], None]] = {}
    if settings.collection_workers:
        checks = {ROLLOUTS: lambda: check_reachable(redis), WORKERS: lambda: check_working(supervisor, reports)}
    stop = threading.Event()
    reaper = threading.Thread(target=_reap, args=(sessions, stop), name="reaper", daemon=True)
    try:
        supervisor.start()
        reaper.start()
        serve(settings, [service], name="env-service", on_stop=[stop.set, supervisor.ask_to_stop], checks=checks)
    finally:
        supervisor.stop(settings.grace_s)
        sessions.close_all()


def _reap(sessions: SessionTable[OpenSession], stop: threading.Event) -> None:
    while not stop.wait(REAP_EVERY_S):
        if reaped := sessions.reap():
            log.info("idle sessions closed", sessions=reaped)


if __name__ == "__main__":
    begin(main, "env-service")
