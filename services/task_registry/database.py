"""SQLite or PostgreSQL behind one pair of transactions, `read` and `write`, and the migrations that prepare it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.orm.session import JoinTransactionMode

from lwmecps_core.errors import ServiceUnavailable
from services.task_registry.turns import Turns, Waiting

T = TypeVar("T")
BUSY_TIMEOUT_MS = 10_000
MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x6C776D65
"""Key of the PostgreSQL advisory lock under which one registry at a time migrates."""
SERIALISATION_FAILURES = frozenset({"40001", "40P01"})
"""SQLSTATEs after which the same transaction may succeed: serialisation failure, deadlock."""
ATTEMPTS = 4


class Database:
    """A database by SQLAlchemy URL; the same code and the same promises on SQLite and on PostgreSQL.

    A write is durable once `write` returns, and is serialised with others: by `BEGIN IMMEDIATE` on SQLite, where those
    that wait for their turn share a transaction, by the row locks that its queries take (`with_for_update`) on
    PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = sa.create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._turns = Turns(self._together)
        self._writing = self.engine.execution_options(lwmecps_write=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads; raises `ServiceUnavailable` when the database can't be reached."""
        try:
            with Session(self.engine) as session:
                yield session
        except (OperationalError, PoolTimeout) as error:
            raise _unavailable(error) from error

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """A transaction that reads everything as it was at its first query, while others go on writing.

        Raises `ServiceUnavailable` when the database can't be reached.
        """
        # On SQLite every transaction sees one instant; its write-ahead log lets others write meanwhile.
        level = {"isolation_level": "REPEATABLE READ"} if self.engine.dialect.name == "postgresql" else {}
        try:
            with self.engine.execution_options(**level).connect() as connection, connection.begin():
                yield connection
        except (OperationalError, PoolTimeout) as error:
            raise _unavailable(error) from error

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a write transaction and commit; run it again when a concurrent one got in its way.

        Raises what `work` raises (and commits nothing), and `ServiceUnavailable` when the database can't be reached.
        """
        if self.engine.dialect.name != "sqlite":
            return self._alone(work)
        try:
            found: T = self._turns.run(work, BUSY_TIMEOUT_MS / 1000)
        except TimeoutError as error:
            reason = "the registry's database is busy: others have been writing for too long"
            raise ServiceUnavailable(reason) from error
        return found

    def _alone(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction of its own."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with Session(self._writing, expire_on_commit=False) as session, session.begin():
                    return work(session)
            except IntegrityError:
                # A concurrent transaction inserted the same key first; the next attempt sees what it wrote.
                if attempt == ATTEMPTS:
                    raise
            except OperationalError as error:
                if attempt == ATTEMPTS or getattr(error.orig, "sqlstate", None) not in SERIALISATION_FAILURES:
                    raise _unavailable(error) from error
            except PoolTimeout as error:
                raise _unavailable(error) from error
        raise AssertionError("unreachable")

    def _together(self, called: Iterator[Waiting]) -> None:
        """Run the work of a group in one transaction, which is synced once.

        Where one raises, all is undone and done again, each in a savepoint of its own: who raises has changed nothing,
        and the others go on. Where the database itself fails, each is run alone; where it fails to begin or to commit,
        nobody's work counts.
        """
        group: list[Waiting] = []
        try:
            if self._committed(_joined(called, group), "rollback_only"):
                return
            if not self._committed(chain(tuple(group), _joined(called, group)), "create_savepoint"):
                for each in group:
                    self._settle(each, self._alone)
        except Exception as error:
            known = isinstance(error, OperationalError | PoolTimeout)
            for each in group or tuple(_joined(called, group)):
                each.found, each.error = None, _unavailable(error) if known else error  # type: ignore[arg-type]

    def _committed(self, group: Iterable[Waiting], mode: JoinTransactionMode) -> bool:
        """Whether the group's work could be done in one transaction, and is there to stay."""
        try:
            with self._writing.begin() as connection:
                for each in group:
                    self._settle(each, partial(_within, connection, mode))
                    if each.error is not None and (mode == "rollback_only" or _is_fatal(each.error)):
                        raise _Undone
        except _Undone:
            return False
        return True

    @staticmethod
    def _settle(one: Waiting, run: Callable[[Callable[[Session], Any]], Any]) -> None:
        one.found = one.error = None
        try:
            one.found = run(one.work)
        except BaseException as error:  # it is raised where the caller waits
            one.error = error

    def check(self) -> None:
        """Raise `ServiceUnavailable` when the database can't be reached."""
        with self.read() as session:
            session.execute(sa.select(1))

    def insert(self, table: Any) -> Any:
        """See `insert_into`."""
        return insert_into(table, self.engine.dialect.name)

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables up to `revision`; several processes may do so at the same time.

        Raises `ServiceUnavailable` when the database can't be reached or used, or is of a later version than this one.
        """
        try:
            self._alembic(command.upgrade, revision)
        except sa.exc.DBAPIError as error:
            raise ServiceUnavailable(f"the registry's database can't be reached or used: {error.orig}") from error
        except CommandError as error:
            raise ServiceUnavailable(f"the database is of another version than this registry: {error}") from error

    def downgrade(self, revision: str) -> None:
        """Take the tables back to `revision` (`base`: none)."""
        self._alembic(command.downgrade, revision)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _alembic(self, run: Callable[[Config, str], None], revision: str) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            run(config, revision)


def insert_into(table: Any, dialect: str) -> Any:
    """An `INSERT` that knows `ON CONFLICT`, in a database's dialect."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)


class _Undone(Exception):
    """The transaction of a group can't go on."""


def _joined(called: Iterator[Waiting], group: list[Waiting]) -> Iterator[Waiting]:
    for each in called:
        group.append(each)
        yield each


def _is_fatal(error: BaseException) -> bool:
    """Whether the database may have undone more than the statement that failed."""
    return isinstance(error, DBAPIError) and not isinstance(error, IntegrityError)


def _within(connection: sa.Connection, mode: JoinTransactionMode, work: Callable[[Session], T]) -> T:
    """Run `work` in the connection's transaction; in a savepoint, again where it inserted what is there already."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with Session(connection, expire_on_commit=False, join_transaction_mode=mode) as session, session.begin():
                return work(session)
        except IntegrityError:
            if attempt == ATTEMPTS or mode == "rollback_only":
                raise
    raise AssertionError("unreachable")


def _unavailable(error: OperationalError | PoolTimeout) -> ServiceUnavailable:
    why = error.orig if isinstance(error, OperationalError) else "all connections are in use"
    return ServiceUnavailable(f"the registry's database can't be reached or is busy: {why}")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: `_begin_sqlite` says which kind.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("lwmecps_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
