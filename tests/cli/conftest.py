"""What tests of several commands need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.server import ServerSettings, start
from services.task_registry.__main__ import registry_service
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.store import Store


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test doesn't start isn't there: a system that runs on this machine is neither asked nor told anything."""
    for service in ("REGISTRY", "ENV", "LEARNER"):
        monkeypatch.setenv(f"LWMECPS_CLI_{service}", "127.0.0.1:1")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of a registry."""
    database = Database(f"sqlite:///{tmp_path / 'registry.db'}")
    database.migrate()
    server = start(ServerSettings(), [registry_service(Store(database, ArtefactStore(str(tmp_path / "artefacts"))))])
    yield server.address
    server.drain(0)
    database.close()
