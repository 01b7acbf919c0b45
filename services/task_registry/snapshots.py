"""A copy of everything that a registry keeps, taken while others write to it, and the way back.

The tables are copied in one transaction that sees one instant, whatever the database, into a SQLite file; then the
files that those tables name follow. One may have been let go of meanwhile: what is deleted stays until all is copied.
"""

import hashlib
import re
import sqlite3
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lwmecps_core.errors import DamagedArtefact, InvalidInput, ServiceUnavailable, Violation, WrongState
from services.common.snapshots import (
    ARTEFACTS,
    CHUNK_BYTES,
    TABLES,
    FileOfSnapshot,
    Files,
    Manifest,
    checked,
    manifest_of,
    pieces,
)
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.domain import Artefact
from services.task_registry.models import Base, CheckpointRow, PolicyRow
from services.task_registry.store.common import Clock, utc_now

ROWS, LARGE_ROWS = 1000, 4
"""Rows that are copied at once; those of tables with contents may have many megabytes each."""
_KEY = re.compile(r"\w[\w.-]*(/\w[\w.-]*)+")


@dataclass(frozen=True)
class PutBack:
    """What there is after a snapshot was put back: rows by table, and files."""

    rows: dict[str, int]
    artefacts: int


class Snapshots:
    """Takes snapshots of a registry, and puts them back."""

    def __init__(self, database: Database, artefacts: ArtefactStore, clock: Clock = utc_now) -> None:
        self._database, self._artefacts, self._clock = database, artefacts, clock

    def take(self) -> Generator[tuple[FileOfSnapshot, Iterator[bytes]], None, None]:
        """The files of a snapshot, the manifest first.

        Raises `ServiceUnavailable`, and `DamagedArtefact` naming a file that is not what was stored.
        """
        with self._artefacts.keeping(), tempfile.TemporaryDirectory(prefix="lwmecps-backup-") as folder:
            path = Path(folder) / TABLES
            with closing(Database(f"sqlite:///{path}")) as copy:
                copy.migrate()
                with self._database.snapshot() as source:
                    rows = copy.write(lambda session: _copy(source, session.connection()))
                named = _artefacts_of(copy)
            tables = _described(path)
            others = [FileOfSnapshot(f"{ARTEFACTS}{a.key}", a.size_bytes, a.sha256) for a in named]
            manifest = Manifest(version("lwmecps"), self._clock().isoformat(), rows, (tables, *others))
            file, content = manifest.file()
            yield file, pieces(content)
            yield tables, _pieces(path)
            for artefact, file in zip(named, others, strict=True):
                yield file, self._read(artefact)

    def put_back(self, files: Files, replace: bool = False) -> PutBack:
        """Put a snapshot of this or an earlier version back, all of it or nothing.

        Raises `WrongState` where the registry has something, unless that is to be replaced; `InvalidInput` naming the
        file that is missing or is not what it should be; `ServiceUnavailable`.
        """
        if not replace:
            with self._database.read() as session:
                _check_empty(session)
        before, manifest = self._artefacts.keys(), manifest_of(files)
        written: list[str] = []
        try:
            with tempfile.TemporaryDirectory(prefix="lwmecps-restore-") as folder:
                path = Path(folder) / TABLES
                _receive(files, path, manifest)
                with closing(Database(f"sqlite:///{path}")) as copy:
                    _migrate(copy)
                    named = {f"{ARTEFACTS}{a.key}": a for a in _artefacts_of(copy)}
                    self._store(files, named, written)
                    rows, gone = self._database.write(lambda session: _fill(session, copy, replace))
        except BaseException:
            for key in set(written) - before:
                self._artefacts.delete(key)
            raise
        for key in set(gone) - set(written):
            self._artefacts.delete(key)
        return PutBack(rows, len(named))

    def _read(self, artefact: Artefact) -> Iterator[bytes]:
        try:
            return self._artefacts.read(artefact)
        except FileNotFoundError:
            raise DamagedArtefact(artefact.key, "the file is missing") from None

    def _store(self, files: Files, named: dict[str, Artefact], written: list[str]) -> None:
        """Store the artefacts that come, which must be those that the tables name."""
        missing = dict(named)
        for file, content in files:
            artefact = missing.pop(file.name, None)
            if artefact is None:
                raise _refused(file.name, "the tables know no such file")
            if not _KEY.fullmatch(artefact.key):
                raise _refused(file.name, "is no name of an artefact")
            whole = FileOfSnapshot(file.name, artefact.size_bytes, artefact.sha256)
            self._artefacts.write(artefact.key, checked(whole, content))
            written.append(artefact.key)
        if missing:
            raise _refused(next(iter(missing)), "is missing: the snapshot was cut short")


def _copy(source: sa.Connection, target: sa.Connection) -> dict[str, int]:
    """Copy every row of every table, those first that others refer to; returns how many by table."""
    counts = {}
    for table in Base.metadata.sorted_tables:
        large = any(isinstance(column.type, sa.LargeBinary) for column in table.columns)
        query = sa.select(table).execution_options(yield_per=LARGE_ROWS if large else ROWS)
        counts[table.name] = 0
        for part in source.execute(query).mappings().partitions():
            target.execute(sa.insert(table), [dict(row) for row in part])
            counts[table.name] += len(part)
    return counts


def _fill(session: Session, copy: Database, replace: bool) -> tuple[dict[str, int], list[str]]:
    """Fill the tables from a copy; returns rows as counted afterwards, and keys of what was replaced."""
    gone = list[str]()
    if replace:
        gone = [artefact.key for artefact in _named(session)]
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(sa.delete(table))
    else:
        _check_empty(session)
    with copy.snapshot() as source:
        copied = _copy(source, session.connection())
    if session.get_bind().dialect.name == "postgresql":
        _go_on_counting(session)
    found = _counts(session)
    if found != copied:
        raise ServiceUnavailable(f"the database has other rows than were put back: {found}, not {copied}")
    return found, gone


def _go_on_counting(session: Session) -> None:
    """Let PostgreSQL's sequences go on behind the numbers that rows came with."""
    for table in Base.metadata.sorted_tables:
        if "seq" in table.columns:
            sequence = sa.func.pg_get_serial_sequence(table.name, "seq")
            next_ = sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0) + 1).scalar_subquery()
            session.execute(sa.select(sa.func.setval(sequence, next_, False)))


def _counts(session: Session) -> dict[str, int]:
    count = sa.select(sa.func.count())
    return {table.name: session.scalars(count.select_from(table)).one() for table in Base.metadata.sorted_tables}


def _check_empty(session: Session) -> None:
    there = ", ".join(f"{count} in {name}" for name, count in _counts(session).items() if count)
    if there:
        raise WrongState(f"the registry has something: {there}; use an empty one, or --replace (`replace`)")


def _artefacts_of(database: Database) -> list[Artefact]:
    with database.read() as session:
        return _named(session)


def _named(session: Session) -> list[Artefact]:
    """The files that the tables name."""
    found = list[Artefact]()
    for row in (PolicyRow, CheckpointRow):
        columns = sa.select(row.artefact_key, row.artefact_size_bytes, row.artefact_sha256)
        rows: Any = session.execute(columns.where(row.artefact_key.is_not(None)).order_by(row.seq))
        found += [Artefact(*columns) for columns in rows]
    return found


def _receive(files: Files, path: Path, manifest: Manifest) -> None:
    """Write the file of the tables, which must hold as many rows as the manifest says."""
    file, content = next(files, (FileOfSnapshot("", 0, ""), iter(())))
    if file.name != TABLES:
        raise _refused(TABLES, "must be the second file of a snapshot")
    with path.open("wb") as out:
        out.writelines(content)
    try:
        with closing(sqlite3.connect(path)) as connection:
            for table, count in manifest.rows.items():
                found = connection.execute(f'SELECT count(*) FROM "{table.replace(chr(34), "")}"').fetchone()[0]
                if found != count:
                    raise _refused(TABLES, f"has {found} rows of {table}, not {count} as the manifest says")
    except sqlite3.DatabaseError as error:
        raise _refused(TABLES, f"is no copy of a registry: {error}") from None


def _migrate(copy: Database) -> None:
    """Carry the tables of an earlier version over to this one's."""
    try:
        copy.migrate()
    except ServiceUnavailable as error:
        raise _refused(TABLES, f"can't be carried over: {error}") from None


def _described(path: Path) -> FileOfSnapshot:
    with path.open("rb") as file:
        return FileOfSnapshot(path.name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _refused(name: str, reason: str) -> InvalidInput:
    return InvalidInput("snapshot", [Violation(name, reason)])
