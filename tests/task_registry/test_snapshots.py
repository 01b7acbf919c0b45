"""Snapshots: taken while others write, put back whole or not at all, on either database and from one to the other."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lwmecps_core.errors import DamagedArtefact, InvalidInput, NotFound, WrongState
from services.common.snapshots import MANIFEST, TABLES, FileOfSnapshot, Files, checked
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.domain import MetricPoint, Report, RunState
from services.task_registry.store import Store
from tests.task_registry.making import Clock, claimed, describe, make_policy, make_run_spec, make_task, make_weights
from tests.task_registry.test_released import RELEASED

Kept = list[tuple[FileOfSnapshot, bytes]]


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    """A registry on SQLite that has nothing yet."""
    database = Database(f"sqlite:///{tmp_path / 'other' / 'registry.db'}")
    database.migrate()
    yield Store(database, ArtefactStore(str(tmp_path / "other" / "artefacts")), Clock())
    database.close()


def _taken(store: Store) -> Kept:
    return [(file, b"".join(content)) for file, content in store.snapshots.take()]


def _files(kept: Kept) -> Files:
    return ((file, checked(file, iter([content] if content else []))) for file, content in kept)


def _with_policy(store: Store) -> str:
    policy, (content, expected) = make_policy(store), make_weights()
    store.policies.upload(policy.id, 0, [content], expected)
    return policy.id


class _Writers(threading.Thread):
    """Begins runs, each with a task, metrics in order and a checkpoint for each, and lets old ones go."""

    def __init__(self, store: Store) -> None:
        super().__init__(daemon=True)
        self.store, self.ending, self.steps, self.went = store, threading.Event(), 0, threading.Semaphore(0)
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.ending.is_set():
                self._one()
        except BaseException as error:
            self.error = error

    def _one(self) -> None:
        task = self.store.tasks.create(make_task(f"city-{self.steps}"), "", {}, "")
        self.store.runs.create(make_run_spec(task.id))
        run = self.store.runs.claim("learner")
        assert run is not None
        for step in range(1, 5):
            content = f"{run.id} after {step}".encode()
            self.store.checkpoints.upload(run.id, run.token, step, [content], describe(content))
            metric = MetricPoint("reward", step, float(step), self.store._clock())
            self.store.runs.report(run.id, run.token, Report(step=step, total_steps=4, metrics=(metric,)))
            self.steps += 1
            self.went.release()
        self.store.runs.report(run.id, run.token, Report(state=RunState.COMPLETED, step=4, total_steps=4))
        _with_policy(self.store)


def test_a_snapshot_that_is_taken_while_others_write_is_of_one_instant(store: Store, empty: Store) -> None:
    writers = _Writers(store)
    writers.start()
    kept: Kept = []
    try:
        for _ in range(20):
            assert writers.went.acquire(timeout=30), writers.error
        for file, content in store.snapshots.take():  # slowly: writers go on between any two files
            assert writers.went.acquire(timeout=30), writers.error
            kept.append((file, b"".join(content)))
    finally:
        writers.ending.set()
        writers.join(30)
    assert writers.error is None
    put = empty.snapshots.put_back(_files(kept))

    assert put.rows == json.loads(kept[0][1])["rows"] and put.artefacts == len(kept) - 2 >= 10
    runs = empty.runs.list(page_size=1000).items
    assert 5 <= len(runs) == put.rows["runs"]
    for run in runs:
        assert [empty.tasks.get(task) for task in run.spec.task_ids]
        steps = [point.step for point in empty.records.metrics(run.id).items]
        assert steps == list(range(1, run.step + 1)), "metrics and the run's progress are of one transaction"
        if run.step:
            checkpoint, chunks = empty.checkpoints.download(run.id)
            assert b"".join(chunks) == f"{run.id} after {checkpoint.step}".encode()
            assert run.step <= checkpoint.step <= run.step + 1
    policies = empty.policies.list(page_size=1000).items
    whole = [policy for policy in policies if policy.artefact]
    assert len(whole) >= len(policies) - 1, "the one that is between its creation and its weights"
    for policy in whole:
        artefact, chunks = empty.policies.download(policy.id)
        assert describe(b"".join(chunks)).sha256 == artefact.sha256
    assert all(store.runs.get(run.id).step >= run.step for run in runs)


def test_what_was_let_go_of_meanwhile_goes_once_the_snapshot_is_done(sqlite_store: Store) -> None:
    policy_id = _with_policy(sqlite_store)
    files = sqlite_store.snapshots.take()
    next(files)
    sqlite_store.policies.delete(policy_id)
    assert [file.name for file, content in files if b"".join(content)][-1].startswith(f"artefacts/policies/{policy_id}")
    assert sqlite_store._artefacts.keys() == set()


def test_a_registry_goes_on_after_it_was_put_back(empty: Store, store: Store) -> None:
    run = claimed(empty)
    first = empty.policies.list().items
    kept = _taken(empty)
    store.snapshots.put_back(_files(kept))
    assert store.runs.get(run.id) == empty.runs.get(run.id) and store.policies.list().items == first
    task = store.tasks.create(make_task("next"), "", {}, "")  # its number is behind those that came
    assert [store.runs.create(make_run_spec(task.id)).id, run.id] == [r.id for r in store.runs.list().items]
    store.runs.report(run.id, run.token, Report(step=1, total_steps=4))


def test_a_registry_that_has_something_refuses_and_keeps_it_unless_it_is_replaced(sqlite_store: Store) -> None:
    store = sqlite_store
    first = _with_policy(store)
    kept = _taken(store)
    second = _with_policy(store)
    with pytest.raises(WrongState, match="2 in policies"):
        store.snapshots.put_back(_files(kept))
    for policy in (first, second):
        assert store.policies.download(policy)
    store.snapshots.put_back(_files(kept), replace=True)
    assert b"".join(store.policies.download(first)[1]) == make_weights()[0]
    with pytest.raises(NotFound):
        store.policies.get(second)
    assert len(store._artefacts.keys()) == 1


def _cut(kept: Kept) -> Kept:
    return kept[:-1]


def _damaged(kept: Kept) -> Kept:
    return [*kept[:-1], (kept[-1][0], kept[-1][1][:-1] + b"?")]


def _short(kept: Kept) -> Kept:
    return [*kept[:-1], (kept[-1][0], kept[-1][1][:-1])]


def _of_another_row(kept: Kept) -> Kept:
    content = b"something else"
    return [*kept[:-1], (FileOfSnapshot(kept[-1][0].name, len(content), describe(content).sha256), content)]


def _more(kept: Kept) -> Kept:
    return [*kept, (replace(kept[-1][0], name="artefacts/../../passwd"), kept[-1][1])]


def _without_manifest(kept: Kept) -> Kept:
    return kept[1:]


def _not_tables(kept: Kept) -> Kept:
    content = b"no database" * 1000
    return [kept[0], (FileOfSnapshot(TABLES, len(content), describe(content).sha256), content), *kept[2:]]


def _other_counts(kept: Kept) -> Kept:
    content = kept[0][1].replace(b'"policies": 1', b'"policies": 2')
    return [(FileOfSnapshot(MANIFEST, len(content), describe(content).sha256), content), *kept[1:]]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, "artefacts/policies/.*is missing: the snapshot was cut short"),
        (_damaged, "artefacts/policies/.*its SHA-256 is another"),
        (_short, "artefacts/policies/.*is not the 300000 bytes"),
        (_of_another_row, "artefacts/policies/.*"),
        (_more, r"artefacts/\.\./\.\./passwd: the tables know no such file"),
        (_without_manifest, "manifest.json: no manifest of a snapshot"),
        (_not_tables, "registry.db: is no copy of a registry"),
        (_other_counts, "registry.db: has 1 rows of policies, not 2"),
    ],
)
def test_a_snapshot_that_is_not_whole_changes_nothing_and_is_told_by_the_file(
    damage, said: str, sqlite_store: Store, empty: Store
) -> None:
    _with_policy(sqlite_store)
    with pytest.raises(InvalidInput, match=said):
        empty.snapshots.put_back(_files(damage(_taken(sqlite_store))))
    assert not empty.policies.list().items and not empty._artefacts.keys()


def test_a_file_that_is_damaged_in_the_registry_fails_the_backup_by_its_name(sqlite_store: Store) -> None:
    _with_policy(sqlite_store)
    (key,) = sqlite_store._artefacts.keys()
    sqlite_store._artefacts.delete(key)
    with pytest.raises(DamagedArtefact, match=f"{key} is damaged: the file is missing"):
        _taken(sqlite_store)


def test_a_snapshot_of_a_released_version_is_carried_over(empty: Store, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / TABLES) as connection:
        connection.executescript((RELEASED / "0.1.0.sql").read_text())
        policies = dict.fromkeys(("policies", "checkpoints"), 0)
        for table in policies:  # those whose files the tables would ask for
            connection.execute(f"DELETE FROM {table}")
        count = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    connection.close()
    content = (tmp_path / TABLES).read_bytes()
    tables = FileOfSnapshot(TABLES, len(content), describe(content).sha256)
    text = json.dumps({"version": "0.1.0", "time": "2026-01-01T00:00:00+00:00", "rows": policies, "files": []}).encode()
    manifest = FileOfSnapshot(MANIFEST, len(text), describe(text).sha256)
    put = empty.snapshots.put_back(_files([(manifest, text), (tables, content)]))
    assert put.rows["runs"] == count == len(empty.runs.list().items)


def test_a_snapshot_of_a_later_version_is_refused(sqlite_store: Store, empty: Store, tmp_path: Path) -> None:
    kept, path = _taken(sqlite_store), tmp_path / "later.db"
    path.write_bytes(kept[1][1])
    with sqlite3.connect(path) as later:
        later.execute("UPDATE alembic_version SET version_num = '9999'")
    later.close()
    content = path.read_bytes()
    tables = FileOfSnapshot(TABLES, len(content), describe(content).sha256)
    with pytest.raises(InvalidInput, match=r"registry\.db: can't be carried over: the database is of another version"):
        empty.snapshots.put_back(_files([kept[0], (tables, content)]))
