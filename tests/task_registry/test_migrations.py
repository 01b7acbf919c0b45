"""Migrations make exactly the tables of the models, and can be run up and down under data."""

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.domain import Run
from services.task_registry.models import Base
from services.task_registry.store import Store
from tests.task_registry.making import claimed, describe, make_run_spec, make_task


def test_migrations_make_the_tables_of_the_models(database: Database) -> None:
    database.migrate()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_twice_or_at_once_is_harmless(database: Database) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: database.migrate(), range(3)))
    database.migrate()


def test_data_survives_going_down_one_revision_and_up_again(database: Database, artefacts: ArtefactStore) -> None:
    database.migrate()
    store = Store(database, artefacts)
    task = store.tasks.create(make_task(), labels={"k": "v"})
    run = store.runs.create(make_run_spec(task.id))
    held: Run = claimed(store)
    store.checkpoints.upload(held.id, held.token, 1, [b"state"], describe(b"state"))
    database.downgrade("0001")
    assert "policies" not in sa.inspect(database.engine).get_table_names()
    database.migrate()
    assert store.tasks.get(task.id) == task
    assert store.runs.get(run.id).spec == run.spec
    assert store.policies.list().items == ()


def test_going_all_the_way_down_removes_every_table(database: Database, artefacts: ArtefactStore) -> None:
    database.migrate()
    Store(database, artefacts).tasks.create(make_task())
    database.downgrade("base")
    assert set(sa.inspect(database.engine).get_table_names()) <= {"alembic_version"}
    database.migrate()
    assert Store(database, artefacts).tasks.list().items == ()


def test_sqlite_is_set_up_to_be_durable(sqlite_store: Store) -> None:
    with sqlite_store.tasks._database.read() as session:
        pragmas = {
            name: session.scalar(sa.text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
