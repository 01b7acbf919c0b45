"""Recorded users of tasks: kept once, beside the tasks, and fetched by those who need them."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import sqlalchemy as sa

from lwmecps_core.config import dump
from lwmecps_core.errors import DamagedArtefact, InvalidInput, LwmecpsError, NotFound
from lwmecps_core.run_config import TrainConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from protos.lwmecps.registry.v1 import recording_pb2, registry_pb2_grpc
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.common import convert, recordings
from services.common.client import Caller, connect
from services.common.run_spec import RunSpec
from services.common.server import RunningServer, start
from services.common.settings import ClientSettings, ServerSettings
from services.learner_service.jobs import Job, StepReport
from services.learner_service.registry_client import RegistryClient
from services.task_registry.__main__ import registry_service
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.domain import Recording
from services.task_registry.models import RecordingRow
from services.task_registry.store import Store
from tests.task_registry.making import make_task

ENOUGH = 540
"""Steps of a recording of 1,000 nodes that is over 4 MiB by itself."""


def recorded(steps: int = 3, name: str = "city", seed: int = 0) -> TaskSpec:
    task = make_task(name)
    users = np.random.default_rng(seed).random((steps, 1))
    workload = replace(task.workload, pattern="recorded", recorded_users=tuple(map(tuple, users.tolist())))
    return replace(task, workload=workload)


def large(steps: int = ENOUGH) -> TaskDistribution:
    users = np.random.default_rng(steps).random((steps, 1000))
    return TaskDistribution(nodes=1000, recorded_users=tuple(map(tuple, users.tolist())))


def kept(store: Store) -> list[str]:
    with store.tasks._database.read() as session:
        return list(session.scalars(sa.select(RecordingRow.sha256)))


@pytest.fixture
def server(sqlite_store: Store) -> Iterator[RunningServer]:
    running = start(ServerSettings(), [registry_service(sqlite_store)])
    yield running
    running.drain(0)


@pytest.fixture
def plain_client(server: RunningServer) -> Iterator[registry_pb2_grpc.TaskRegistryServiceStub]:
    """A client that nobody told anything: it takes answers of at most 4 MiB."""
    with grpc.insecure_channel(server.address) as channel:
        yield registry_pb2_grpc.TaskRegistryServiceStub(channel)


def registered(store: Store, steps: int, name: str = "city") -> str:
    return store.tasks.create(recorded(steps, name)).id


def test_tasks_with_one_recording_share_it_until_the_last_one_goes(store: Store) -> None:
    first, second = (store.tasks.create(recorded(name=name)) for name in ("a", "b"))
    other = store.tasks.create(recorded(seed=1))
    assert first.summary.recording == second.summary.recording != other.summary.recording
    assert len(kept(store)) == 2
    store.tasks.delete(first.id)
    assert store.tasks.get(second.id) == second
    store.tasks.delete(second.id)
    assert kept(store) == [other.summary.recording.sha256]
    with pytest.raises(NotFound, match="recording not found"):
        store.tasks.recording(first.summary.recording.sha256)


def test_tasks_made_and_deleted_at_once_never_lose_a_recording(store: Store) -> None:
    def live(i: int) -> str:
        made = store.tasks.create(recorded(name=f"t{i}"))
        assert store.tasks.get(made.id).spec == made.spec
        if i % 2:
            store.tasks.delete(made.id)
        return made.id

    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(live, range(24)))
    assert [store.tasks.get(id_).spec.workload for id_ in ids[::2]] == [recorded().workload] * 12
    for id_ in ids[::2]:
        store.tasks.delete(id_)
    assert kept(store) == []


def test_a_recording_comes_back_equal_and_its_creation_is_idempotent(store: Store) -> None:
    spec = recorded(50)
    made = store.tasks.create(spec, request_id="r")
    assert store.tasks.create(spec, request_id="r") == made == store.tasks.get(made.id)
    assert made.spec == spec
    distribution = TaskDistribution(nodes=2, recorded_users=((1.0, 0.1 + 0.2), (3.0, 4e-9)))
    other = store.tasks.create(distribution)
    assert store.tasks.get(other.id).spec == distribution
    assert other.summary.recording == Recording(other.summary.recording.sha256, steps=2, nodes=2)


def test_lists_read_neither_specs_nor_recordings(store: Store) -> None:
    made = registered(store, 10)
    said: list[str] = []
    sa.event.listen(store.tasks._database.engine, "before_cursor_execute", lambda *a: said.append(a[2]))
    listed = store.tasks.list().items
    assert [task.id for task in listed] == [made] and listed[0] == store.tasks.find(made)
    assert any("SELECT" in text for text in said) and not any(
        "tasks.spec" in text or "content" in text for text in said
    )


BEFORE = sa.text(
    "INSERT INTO tasks (id, name, kind, family, spec, labels, created_at, etag) "
    "VALUES (:id, 'old', :kind, '', :spec, '{}', '2026-01-01 00:00:00', '1')"
)


def test_databases_of_before_are_brought_over_and_back(database: Database, artefacts: ArtefactStore) -> None:
    old = {
        "task-a": recorded(4, "a"),
        "task-b": recorded(4, "b"),
        "task-c": make_task("c"),
        "task-d": TaskDistribution(family="load_profile", nodes=2, recorded_users=((1.5, 2.0),)),
    }
    database.migrate("0004")
    with database.engine.begin() as connection:
        for id_, spec in old.items():
            kind = "task" if isinstance(spec, TaskSpec) else "distribution"
            connection.execute(BEFORE, {"id": id_, "kind": kind, "spec": json.dumps(dump(spec))})
        connection.execute(
            sa.text(
                "INSERT INTO memories (task_id, name, content, size_bytes, etag, created_at, updated_at) "
                "VALUES ('task-a', 'm', :content, 1, '', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
            ),
            {"content": b"x"},
        )
    for _ in range(2):
        database.migrate()
        store = Store(database, artefacts)
        assert {task.id: store.tasks.get(task.id).spec for task in store.tasks.list().items} == old
        assert len(kept(store)) == 2
        assert store.memories.get("task-a", "m").content == b"x"
        fresh = [store.tasks.create(spec).summary for spec in old.values()]
        assert [store.tasks.find(id_).summary for id_ in old] == fresh
        for task in store.tasks.list().items:
            if task.id not in old:
                store.tasks.delete(task.id)
        database.downgrade("0004")
        with database.engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT id, spec FROM tasks")).all()
        assert {i: json.loads(s) if isinstance(s, str) else s for i, s in rows} == {
            id_: json.loads(json.dumps(dump(spec))) for id_, spec in old.items()
        }
    database.migrate()


def test_clients_with_default_limits_list_and_get_tasks_over_4_mib(
    sqlite_store: Store, plain_client: registry_pb2_grpc.TaskRegistryServiceStub
) -> None:
    small, big = registered(sqlite_store, 3, "small"), sqlite_store.tasks.create(large()).id
    listed = plain_client.ListTasks(pb.ListTasksRequest()).tasks
    assert [task.id for task in listed] == [big, small]
    assert all(task.WhichOneof("kind") is None for task in listed)
    assert (listed[0].summary.recording.steps, listed[0].summary.recording.size_bytes) == (ENOUGH, 8000 * ENOUGH)
    got = plain_client.GetTask(pb.GetTaskRequest(task_id=big)).task
    assert not got.distribution.HasField("recorded_users") and got.distribution.nodes == 1000
    assert plain_client.GetTask(pb.GetTaskRequest(task_id=small)).task.spec.workload.HasField("recorded_users")
    parts = plain_client.DownloadRecording(recording_pb2.DownloadRecordingRequest(sha256=got.summary.recording.sha256))
    header = next(parts).header
    content = b"".join(part.chunk for part in parts)
    assert hashlib.sha256(content).hexdigest() == header.sha256 == got.summary.recording.sha256
    assert recordings.value_of(got, plain_client.DownloadRecording) == large()


@pytest.mark.parametrize("view", ["TASK_VIEW_SPEC", "TASK_VIEW_FULL"])
def test_lists_of_whole_tasks_are_cut_to_fit_a_message(
    sqlite_store: Store, plain_client: registry_pb2_grpc.TaskRegistryServiceStub, view: str
) -> None:
    ids = [sqlite_store.tasks.create(large(steps)).id for steps in (3, 270, 271, ENOUGH, 2)]
    seen, token, pages = [], "", 0
    while True:
        page = plain_client.ListTasks(pb.ListTasksRequest(page_token=token, view=view))
        seen += page.tasks
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
    assert [task.id for task in seen] == ids[::-1]
    whole = [task.distribution.HasField("recorded_users") for task in seen]
    assert whole == ([True, False, True, True, True] if view == "TASK_VIEW_FULL" else [False] * 5)
    assert pages == (2 if view == "TASK_VIEW_FULL" else 1)


def test_the_learner_gets_tasks_that_are_larger_than_a_message(server: RunningServer, sqlite_store: Store) -> None:
    task_id = sqlite_store.tasks.create(large()).id
    with connect(server.address, ClientSettings(max_message_mib=4)) as channel:
        assert RegistryClient(channel, server.address, "learner").get_task(task_id) == large()


def test_another_recording_than_the_registered_one_is_refused(
    sqlite_store: Store, plain_client: registry_pb2_grpc.TaskRegistryServiceStub
) -> None:
    request = pb.GetTaskRequest(task_id=registered(sqlite_store, 3), view="TASK_VIEW_SPEC")
    task = plain_client.GetTask(request).task
    with pytest.raises(DamagedArtefact, match="SHA-256 differs"):
        recordings.value_of(task, lambda request: [recording_pb2.DownloadRecordingResponse(chunk=b"12345678")])


@pytest.mark.parametrize(("sends_mib", "takes_mib"), [(1, 16), (16, 1)])
def test_a_task_over_a_limit_is_refused_naming_field_size_and_limit(
    tmp_path: Path, sqlite_store: Store, sends_mib: int, takes_mib: int
) -> None:
    running = start(ServerSettings(max_message_mib=takes_mib), [registry_service(sqlite_store)])
    with connect(running.address, ClientSettings(max_message_mib=sends_mib)) as channel:
        caller = Caller(running.address, registry_pb2_grpc.TaskRegistryServiceStub(channel))
        request = pb.CreateTaskRequest(spec=convert.task_to_message(recorded(200_000)))
        with pytest.raises(InvalidInput) as refused:
            caller("CreateTask", request)
    running.drain(0)
    said = str(refused.value)
    for part in ("spec.workload.recorded_users: takes 1.53 MiB (200000 x 1 numbers)", "larger than the 1 MiB"):
        assert part in said
    assert ("LWMECPS_CLIENT_MAX_MESSAGE_MIB" if sends_mib == 1 else running.address) in said


@pytest.mark.parametrize(("sends_mib", "takes_mib"), [(1, 16), (16, 1)])
def test_what_the_learner_sends_over_a_limit_is_refused_naming_field_size_and_limit(
    sqlite_store: Store, sends_mib: int, takes_mib: int
) -> None:
    running = start(ServerSettings(max_message_mib=takes_mib), [registry_service(sqlite_store)])
    job = Job("run-1", 1, RunSpec(settings=TrainConfig()))
    news = StepReport(metrics={step: {"m" * 100: 0.0} for step in range(20_000)})
    with connect(running.address, ClientSettings(max_message_mib=sends_mib)) as channel:
        client = RegistryClient(channel, running.address, "learner")
        with pytest.raises(InvalidInput, match=r"metrics: takes [0-9.]+ MiB: a request of .* larger than the 1 MiB"):
            client.report(job, news)
    running.drain(0)


def test_an_answer_over_the_clients_limit_names_the_limit(server: RunningServer, sqlite_store: Store) -> None:
    task_id = registered(sqlite_store, 200_000)
    with connect(server.address, ClientSettings(max_message_mib=1)) as channel:
        caller = Caller(server.address, registry_pb2_grpc.TaskRegistryServiceStub(channel))
        with pytest.raises(LwmecpsError, match=r"answered with 1\.53 MiB to GetTask, at most 1 MiB"):
            caller("GetTask", pb.GetTaskRequest(task_id=task_id))
