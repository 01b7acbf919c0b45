"""`lwmecps backup` and `restore`, on registries that run."""

import gzip
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.cli.main import app
from services.common.server import ServerSettings, start
from services.task_registry.__main__ import registry_service
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.store import Store
from tests.task_registry.making import make_policy, make_run_spec, make_task, make_weights


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[dict[str, Store]]:
    """Two registries that listen, by their addresses."""
    databases = [Database(f"sqlite:///{tmp_path / name / 'registry.db'}") for name in ("old", "new")]
    for database in databases:
        database.migrate()
    made = [Store(database, ArtefactStore(str(tmp_path / f"artefacts-{i}"))) for i, database in enumerate(databases)]
    servers = [start(ServerSettings(), [registry_service(store)]) for store in made]
    yield {server.address: store for server, store in zip(servers, made, strict=True)}
    for server, database in zip(servers, databases, strict=True):
        server.drain(0)
        database.close()


def _call(address: str, *words: str) -> Result:
    return CliRunner().invoke(app, [f"--registry={address}", *words])


def test_a_backup_of_a_running_registry_is_put_back_into_an_empty_one(stores: dict[str, Store], tmp_path: Path) -> None:
    (old, store), (new, other) = stores.items()
    task = store.tasks.create(make_task(), "", {}, "")
    run = store.runs.create(make_run_spec(task.id))
    policy, (content, expected) = make_policy(store), make_weights(1_000_000)
    store.policies.upload(policy.id, 0, [content], expected)

    file = tmp_path / "registry.tar"
    written = _call(old, "backup", str(file))
    assert written.exit_code == 0 and "1 in policies" in written.stdout and "; 1 files" in written.stdout
    with tarfile.open(file) as tar:  # any tool reads it
        assert tar.getnames()[:2] == ["manifest.json", "registry.db"] and len(tar.getnames()) == 3

    refused = _call(old, "restore", str(file))
    assert refused.exit_code == 4 and "1 in tasks" in refused.stderr and "--replace" in refused.stderr
    put = _call(new, "restore", str(file), "--json")
    assert put.exit_code == 0, put.output
    assert json.loads(put.stdout)["rows"]["runs"] == 1 and json.loads(put.stdout)["artefacts"] == 1
    assert other.runs.get(run.id) == store.runs.get(run.id) and other.tasks.get(task.id) == store.tasks.get(task.id)
    assert b"".join(other.policies.download(policy.id)[1]) == content
    assert _call(old, "restore", str(file), "--replace").exit_code == 0


def test_a_file_that_was_cut_is_refused_before_anything_is_sent(stores: dict[str, Store], tmp_path: Path) -> None:
    (old, store), (new, other) = stores.items()
    store.tasks.create(make_task(), "", {}, "")
    file = tmp_path / "registry.tar"
    _call(old, "backup", str(file))
    file.write_bytes(file.read_bytes()[:-70_000])
    result = _call(new, "restore", str(file))
    assert result.exit_code == 2 and str(file) in result.stderr and not other.tasks.list().items


def test_what_is_no_backup_is_told_by_what_it_lacks(stores: dict[str, Store], tmp_path: Path) -> None:
    new = list(stores)[1]
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(__file__, "something")
    other = _call(new, "restore", str(tmp_path / "other.tar"))
    assert other.exit_code == 2 and "manifest.json: is missing: this is no backup" in other.stderr
    (tmp_path / "text").write_text("no tar at all")
    (tmp_path / "cut.gz").write_bytes(gzip.compress((tmp_path / "other.tar").read_bytes())[:-20])
    for name in ("text", "cut.gz"):
        told = _call(new, "restore", str(tmp_path / name))
        assert told.exit_code == 2 and f"{name}: tar: can't be read" in told.stderr and told.stderr.count("\n") == 1
    assert _call(new, "restore", str(tmp_path / "nothing")).exit_code == 2
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in _call(new, "restore", str(tmp_path / "pipe")).stderr


def test_a_backup_that_fails_leaves_no_file(stores: dict[str, Store], tmp_path: Path) -> None:
    old, store = next(iter(stores.items()))
    policy, (content, expected) = make_policy(store), make_weights()
    store.policies.upload(policy.id, 0, [content], expected)
    (key,) = store._artefacts.keys()
    store._artefacts.delete(key)
    result = _call(old, "backup", str(tmp_path / "registry.tar"))
    assert result.exit_code == 4 and key in result.stderr
    assert not (tmp_path / "registry.tar").exists() and not list(tmp_path.glob(".registry*"))
