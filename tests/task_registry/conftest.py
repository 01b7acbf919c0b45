"""A store on each database, with a clock that the test moves."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.store import Store
from tests.task_registry.making import Clock


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgresql_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server that lives as long as the tests."""
    binaries = _postgresql_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian package: postgresql)")
    as_user: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("PostgreSQL refuses to run as root, and setpriv is not installed")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    folder = Path(tempfile.mkdtemp(prefix="lwmecps-pg-"))
    if as_user:
        shutil.chown(folder, "postgres", "postgres")
    data, port = folder / "data", _free_port()
    quiet = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL}
    subprocess.run(
        [*as_user, binaries / "initdb", "-D", data, "-U", "tests", "-A", "trust", "--no-sync", "-E", "UTF8"], **quiet
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    control = [*as_user, binaries / "pg_ctl", "-D", data, "-l", folder / "log"]
    subprocess.run([*control, "-w", "-o", options, "start"], **quiet)
    try:
        yield f"postgresql+psycopg://tests@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind, without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'registry.db'}"
    else:
        url = request.getfixturevalue("postgresql_server")
        admin = sa.create_engine(url)
        with admin.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        admin.dispose()
    made = Database(url)
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def artefacts(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore(str(tmp_path / "artefacts"))


@pytest.fixture
def store(database: Database, artefacts: ArtefactStore, clock: Clock) -> Store:
    """An empty store, on each database in turn."""
    database.migrate()
    return Store(database, artefacts, clock)


@pytest.fixture
def sqlite_store(tmp_path: Path, artefacts: ArtefactStore, clock: Clock) -> Iterator[Store]:
    """An empty store on SQLite only, for what does not depend on the database."""
    database = Database(f"sqlite:///{tmp_path / 'registry.db'}")
    database.migrate()
    yield Store(database, artefacts, clock)
    database.close()
