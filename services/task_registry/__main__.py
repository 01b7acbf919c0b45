"""`python -m services.task_registry`: migrate the database, then serve until SIGTERM."""

import threading

import structlog

from lwmecps_core.errors import ServiceUnavailable
from protos.lwmecps.registry.v1 import registry_pb2, registry_pb2_grpc
from services.common.health import DATABASE
from services.common.server import Service, serve
from services.common.settings import read
from services.common.starting import begin, blaming
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.rpc import TaskRegistryServicer
from services.task_registry.settings import PREFIX, RegistrySettings
from services.task_registry.store import Store

TIDY_EVERY_S = 3600.0

log = structlog.get_logger(__name__)


def registry_service(store: Store) -> Service:
    """The service over `store`, ready to be served."""
    descriptor = registry_pb2.DESCRIPTOR.services_by_name["TaskRegistryService"]
    add = registry_pb2_grpc.add_TaskRegistryServiceServicer_to_server
    return Service(descriptor, TaskRegistryServicer(store), add)


def main() -> None:
    """Run the service."""
    settings = read(RegistrySettings, PREFIX)
    with blaming(settings.variable("database_url"), OSError, ServiceUnavailable):
        database = Database(settings.database_url)
        database.migrate()
    with blaming(settings.variable("artefacts_url"), OSError, ValueError, ImportError):
        artefacts = ArtefactStore(settings.artefacts_url)
    store = Store(database, artefacts)
    stop = threading.Event()
    threading.Thread(target=_tidy, args=(store, stop), name="tidy", daemon=True).start()
    service = registry_service(store)
    serve(settings, [service], name="task-registry", on_stop=[stop.set], checks={DATABASE: database.check})
    database.close()


def _tidy(store: Store, stop: threading.Event) -> None:
    """Remove what nobody needs any more, now and every hour."""
    while not stop.is_set():
        try:
            store.forget_request_ids()
            store.sweep_artefacts()
        except Exception:  # nothing depends on it, and the next time may do better
            log.exception("not tidied")
        stop.wait(TIDY_EVERY_S)


if __name__ == "__main__":
    begin(main, "task-registry")
