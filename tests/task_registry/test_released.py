"""What a released registry has written is carried over: its database, as SQL, and its artefacts."""

import base64
import hashlib
import json
import math
import sqlite3
from pathlib import Path

import pytest

from lwmecps_core import policy as policy_file
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.domain import Report, RunState
from services.task_registry.store import Store
from tests.task_registry.making import Clock, describe

RELEASED = Path(__file__).parent / "released"


@pytest.fixture(params=sorted(RELEASED.glob("*.sql")), ids=lambda path: path.stem)
def carried_over(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A registry of today over what a released one has left."""
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.executescript(request.param.read_text())
    connection.close()
    files: dict[str, str] = json.loads(request.param.with_name(f"{request.param.stem}-artefacts.json").read_text())
    for name, content in files.items():
        path = tmp_path / "artefacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    database = Database(f"sqlite:///{tmp_path / 'registry.db'}")
    database.migrate()
    return Store(database, ArtefactStore(str(tmp_path / "artefacts")), clock=Clock())


def test_tasks_runs_and_what_they_reported_are_there(carried_over: Store) -> None:
    tasks = {task.name: task for task in carried_over.tasks.list().items}
    assert set(tasks) == {"city", "cities"} and tasks["city"].labels == {"who": "alice"}
    pending, paused, done = carried_over.runs.list().items  # newest first
    assert [run.state for run in (pending, paused, done)] == [RunState.PENDING, RunState.PAUSED, RunState.COMPLETED]
    assert {run.waiting_for + run.traceparent for run in (pending, paused, done)} == {""}
    assert done.labels == {"team": "edge"} and (done.step, done.total_steps) == (4, 4)
    metrics = {point.name: point.value for point in carried_over.records.metrics(done.id).items}
    assert metrics["total_reward"] == -12.5 and math.isnan(metrics["actor_loss"])
    assert [row.reward for row in carried_over.records.rows(done.id).items] == [-12.5]
    assert [trace.series for trace in carried_over.records.traces(done.id).items] == [{"reward": (-1.0, -2.0)}]
    assert carried_over.memories.get(tasks["city"].id, "edge").content == b"what is known"


def test_a_policy_can_be_loaded_and_its_run_leads_to_it(carried_over: Store) -> None:
    (policy,) = carried_over.policies.list().items
    assert carried_over.runs.get(policy.run_id).result_policy_id == policy.id
    artefact, chunks = carried_over.policies.download(policy.id)
    content = b"".join(chunks)
    assert hashlib.sha256(content).hexdigest() == artefact.sha256
    loaded = policy_file.from_bytes(content, policy.id)
    assert loaded.env_spec == policy.env_spec and loaded.algorithm == policy.algorithm


def test_a_run_that_was_handed_on_goes_on_from_its_checkpoint_to_its_end(carried_over: Store) -> None:
    run = carried_over.runs.claim("learner of today")
    assert run is not None and (run.state, run.step, run.token) == (RunState.RUNNING, 1, 2)
    _, chunks = carried_over.checkpoints.download(run.id)
    assert b"".join(chunks) == b"checkpoint of step 1"
    carried_over.checkpoints.upload(run.id, run.token, 2, [b"two"], describe(b"two"))
    carried_over.runs.report(run.id, run.token, Report(state=RunState.COMPLETED, step=4, total_steps=4))
    assert carried_over.runs.get(run.id).state is RunState.COMPLETED
