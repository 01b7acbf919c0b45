"""The service over real gRPC."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy import event

from lwmecps_core.run_config import DiscoConfig, PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution
from protos.lwmecps.registry.v1 import memory_pb2, policy_pb2, registry_pb2_grpc, run_pb2
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.common import convert
from services.common.client import connect
from services.common.server import start
from services.common.settings import ServerSettings
from services.task_registry.__main__ import registry_service
from services.task_registry.artefacts import CHUNK_BYTES, ArtefactStore
from services.task_registry.rpc import TaskRegistryServicer
from services.task_registry.store import Store
from tests.task_registry.making import ENV_SPEC, Clock, make_task, make_weights

Stub = registry_pb2_grpc.TaskRegistryServiceStub


@pytest.fixture
def registry(sqlite_store: Store) -> Iterator[Stub]:
    server = start(ServerSettings(), [registry_service(sqlite_store)])
    with connect(server.address) as channel:
        yield Stub(channel)
    server.drain(0)


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code()


def create_task(registry: Stub, name: str = "city") -> pb.Task:
    return registry.CreateTask(pb.CreateTaskRequest(spec=convert.task_to_message(make_task(name)))).task


def run_spec(*task_ids: str) -> run_pb2.RunSpec:
    spec = run_pb2.RunSpec(task_ids=task_ids, seed=3)
    convert.set_run_settings(spec, TrainConfig(total_episodes=8))
    return spec


def claimed_run(registry: Stub) -> tuple[run_pb2.Run, run_pb2.Lease]:
    registry.CreateRun(pb.CreateRunRequest(spec=run_spec(create_task(registry).id)))
    claim = registry.ClaimRun(pb.ClaimRunRequest(learner_id="learner"))
    return claim.run, claim.lease


def parts(message: type, header: object, content: bytes) -> Iterator[object]:
    yield message(header=header)
    for begin in range(0, len(content), CHUNK_BYTES):
        yield message(chunk=content[begin : begin + CHUNK_BYTES])


def header_of(content: bytes) -> policy_pb2.ArtefactHeader:
    return policy_pb2.ArtefactHeader(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def create_policy(registry: Stub, run_id: str = "", token: int = 0) -> pb.CreatePolicyResponse:
    algorithm, env_spec = convert.algorithm_to_message(PPOConfig()), convert.env_spec_to_message(ENV_SPEC)
    return registry.CreatePolicy(
        pb.CreatePolicyRequest(name="p", run_id=run_id, token=token, algorithm=algorithm, env_spec=env_spec)
    )


def upload_weights(registry: Stub, policy_id: str, token: int, content: bytes) -> pb.UploadPolicyWeightsResponse:
    header = pb.PolicyWeightsHeader(policy_id=policy_id, token=token, artefact=header_of(content))
    return registry.UploadPolicyWeights(parts(pb.UploadPolicyWeightsRequest, header, content))


def test_tasks_and_distributions_are_created_listed_and_deleted(registry: Stub) -> None:
    task = create_task(registry, "harbour")
    distribution = TaskDistribution(family="load_balancing")
    request = pb.CreateTaskRequest(name="d", distribution=convert.distribution_to_message(distribution))
    other = registry.CreateTask(request).task
    got = registry.GetTask(pb.GetTaskRequest(task_id=task.id)).task
    assert (got, convert.task_from_message(got.spec)) == (task, make_task("harbour"))
    assert [t.name for t in registry.ListTasks(pb.ListTasksRequest()).tasks] == ["d", "harbour"]
    assert [t.id for t in registry.ListTasks(pb.ListTasksRequest(family="load_balancing")).tasks] == [other.id]
    assert convert.distribution_from_message(other.distribution) == distribution
    registry.DeleteTask(pb.DeleteTaskRequest(task_id=task.id, etag=task.etag))
    assert code_of(lambda: registry.GetTask(pb.GetTaskRequest(task_id=task.id))) is grpc.StatusCode.NOT_FOUND


def test_a_page_of_large_tasks_is_cut_to_fit_a_message(registry: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [create_task(registry).id for _ in range(10)]
    monkeypatch.setattr("services.task_registry.rpc.MAX_LIST_BYTES", 500)
    seen, token, sizes = [], "", []
    while True:
        page = registry.ListTasks(pb.ListTasksRequest(page_token=token))
        sizes.append(len(page.tasks))
        seen += [task.id for task in page.tasks]
        token = page.next_page_token
        if not token:
            break
    assert seen == ids[::-1]
    assert max(sizes) < 10


def test_an_impossible_task_names_the_bad_field(registry: Stub) -> None:
    message = convert.task_to_message(make_task())
    message.deployments[0].allowed_nodes.append("nowhere")
    with pytest.raises(grpc.RpcError) as caught:
        registry.CreateTask(pb.CreateTaskRequest(spec=message))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in rpc_status.from_call(caught.value).details)
    assert bad.field_violations[0].field.startswith("spec")
    assert "nowhere" in bad.field_violations[0].description


def test_every_kind_of_error_has_its_status(registry: Stub) -> None:
    status = grpc.StatusCode
    run, lease = claimed_run(registry)
    assert code_of(lambda: registry.GetRun(pb.GetRunRequest(run_id="run-x"))) is status.NOT_FOUND
    assert code_of(lambda: registry.GetRun(pb.GetRunRequest())) is status.INVALID_ARGUMENT
    assert code_of(lambda: registry.ListRuns(pb.ListRunsRequest(page_token="x"))) is status.INVALID_ARGUMENT
    task = pb.DeleteTaskRequest(task_id=run.spec.task_ids[0])
    assert code_of(lambda: registry.DeleteTask(task)) is status.FAILED_PRECONDITION
    assert code_of(lambda: registry.PauseRun(pb.PauseRunRequest(run_id=run.id, etag="9"))) is status.ABORTED
    stale = pb.HeartbeatRequest(run_id=run.id, token=lease.token + 1)
    assert code_of(lambda: registry.Heartbeat(stale)) is status.ABORTED
    for name in "ab":
        request = pb.CreateTaskRequest(spec=convert.task_to_message(make_task(name)), request_id="r")
        if name == "a":
            registry.CreateTask(request)
    assert code_of(lambda: registry.CreateTask(request)) is status.ALREADY_EXISTS
    for rpc in (registry.ListRunMetrics, registry.ListRunRows, registry.ListRunTraces):
        name = rpc._method.decode().rsplit("/", 1)[1]
        request = getattr(pb, f"{name}Request")(run_id="run-x")
        assert code_of(lambda rpc=rpc, request=request: rpc(request)) is status.NOT_FOUND


def test_lists_and_watchers_leave_the_file_of_a_rule_out(registry: Stub) -> None:
    spec = run_spec(create_task(registry).id)
    spec.algorithm.CopyFrom(convert.algorithm_to_message(DiscoConfig(rule=b"weights", segment=7)))
    run = registry.CreateRun(pb.CreateRunRequest(spec=spec)).run
    (listed,) = registry.ListRuns(pb.ListRunsRequest()).runs
    stream = registry.WatchRun(pb.WatchRunRequest(run_id=run.id))
    told = [listed, next(stream).run]
    stream.cancel()
    for each in told:
        disco = each.spec.algorithm.disco
        assert (disco.HasField("rule"), disco.segment) == (False, 7)
    assert registry.GetRun(pb.GetRunRequest(run_id=run.id)).run.spec.algorithm.disco.rule == b"weights"


def test_a_run_goes_from_creation_to_completion(registry: Stub) -> None:
    run, lease = claimed_run(registry)
    assert (run.state, run.spec.kind) == (run_pb2.RUN_STATE_RUNNING, run_pb2.RUN_KIND_TRAIN)
    assert convert.run_settings(run.spec) == ("train", TrainConfig(total_episodes=8))
    assert not registry.ClaimRun(pb.ClaimRunRequest(learner_id="other")).HasField("run")
    for step in range(3):
        answer = registry.ReportRun(
            pb.ReportRunRequest(
                run_id=run.id,
                token=lease.token,
                step=step,
                total_steps=3,
                wandb_run_id="w1",
                metrics=[run_pb2.MetricPoint(name="meta_loss", step=step, value=step / 2)],
                rows=[run_pb2.Row(task="t", method="m", inner_steps=step, reward=-step)],
                traces=[convert.trace_to_message(step, {"users": (1.0, float(step))})],
            )
        )
        assert answer.desired_state == run_pb2.RUN_STATE_RUNNING
        assert answer.lease.token == lease.token
    policy = create_policy(registry, run.id, lease.token).policy
    upload_weights(registry, policy.id, lease.token, b"weights")
    end = pb.ReportRunRequest(
        run_id=run.id, token=lease.token, state=run_pb2.RUN_STATE_COMPLETED, result_policy_id=policy.id
    )
    assert not registry.ReportRun(end).HasField("lease")
    done = registry.GetRun(pb.GetRunRequest(run_id=run.id)).run
    assert (done.state, done.step, done.result_policy_id) == (run_pb2.RUN_STATE_COMPLETED, 2, policy.id)
    assert (done.wandb_run_id, dict(done.latest_metrics)) == ("w1", {"meta_loss": 1.0})
    assert done.end_time.seconds > 0
    metrics = registry.ListRunMetrics(pb.ListRunMetricsRequest(run_id=run.id, name="meta_loss")).metrics
    assert [(point.step, point.value) for point in metrics] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    rows = registry.ListRunRows(pb.ListRunRowsRequest(run_id=run.id)).rows
    assert [row.inner_steps for row in rows] == [0, 1, 2]
    traces = registry.ListRunTraces(pb.ListRunTracesRequest(run_id=run.id)).traces
    assert [convert.trace_from_message(trace)["users"] for trace in traces] == [(1.0, 0.0), (1.0, 1.0), (1.0, 2.0)]


def test_a_lease_lasts_as_long_as_was_asked(registry: Stub, clock: Clock) -> None:
    run, lease = claimed_run(registry)
    assert lease.expire_time.seconds == clock().timestamp() + 30
    request = pb.HeartbeatRequest(run_id=run.id, token=lease.token, lease_duration=Duration(seconds=300))
    assert registry.Heartbeat(request).lease.expire_time.seconds == clock().timestamp() + 300


def test_expired_lease_lets_another_learner_resume_from_the_checkpoint(registry: Stub, clock: Clock) -> None:
    run, lease = claimed_run(registry)
    content, _ = make_weights(600_000)
    header = pb.CheckpointHeader(run_id=run.id, token=lease.token, step=7, artefact=header_of(content))
    assert registry.UploadCheckpoint(parts(pb.UploadCheckpointRequest, header, content)).step == 7
    clock.pass_s(31)
    claim = registry.ClaimRun(pb.ClaimRunRequest(learner_id="second"))
    assert (claim.run.id, claim.lease.token) == (run.id, lease.token + 1)
    first, *chunks = registry.DownloadCheckpoint(pb.DownloadCheckpointRequest(run_id=run.id))
    assert first.header == header
    assert b"".join(part.chunk for part in chunks) == content
    late = parts(pb.UploadCheckpointRequest, header, content)
    assert code_of(lambda: registry.UploadCheckpoint(late)) is grpc.StatusCode.ABORTED


def test_a_run_without_a_checkpoint_says_not_found(registry: Stub) -> None:
    run, _ = claimed_run(registry)
    request = pb.DownloadCheckpointRequest(run_id=run.id)
    assert code_of(lambda: list(registry.DownloadCheckpoint(request))) is grpc.StatusCode.NOT_FOUND


def test_weights_travel_both_ways_in_chunks(registry: Stub) -> None:
    content, _ = make_weights(1_000_000)
    policy = create_policy(registry).policy
    uploaded = upload_weights(registry, policy.id, 0, content).policy
    assert (uploaded.size_bytes, uploaded.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    first, *chunks = registry.DownloadPolicyWeights(pb.DownloadPolicyWeightsRequest(policy_id=policy.id))
    assert first.header == header_of(content)
    assert [len(part.chunk) for part in chunks[:-1]] == [CHUNK_BYTES] * (len(chunks) - 1)
    assert b"".join(part.chunk for part in chunks) == content


def test_missing_weights_are_named(registry: Stub) -> None:
    policy = create_policy(registry).policy
    with pytest.raises(grpc.RpcError) as caught:
        list(registry.DownloadPolicyWeights(pb.DownloadPolicyWeightsRequest(policy_id=policy.id)))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == f"Model file not found: {policy.id}"


def test_truncated_weights_are_data_loss(registry: Stub, tmp_path: Path) -> None:
    policy = create_policy(registry).policy
    upload_weights(registry, policy.id, 0, b"weights")
    (file,) = (tmp_path / "artefacts" / "policies").rglob("*.safetensors")
    file.write_bytes(b"weigh")
    request = pb.DownloadPolicyWeightsRequest(policy_id=policy.id)
    with pytest.raises(grpc.RpcError) as caught:
        list(registry.DownloadPolicyWeights(request))
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS
    assert policy.id in caught.value.details()


@pytest.mark.parametrize("broken", ["no header", "two headers", "too short", "nothing"])
def test_a_malformed_upload_is_refused_and_leaves_nothing(
    registry: Stub, artefacts: ArtefactStore, broken: str
) -> None:
    policy = create_policy(registry).policy
    content = b"weights"
    header = pb.PolicyWeightsHeader(policy_id=policy.id, artefact=header_of(content))
    good = list(parts(pb.UploadPolicyWeightsRequest, header, content))
    sent = {"no header": good[1:], "two headers": [*good, good[0]], "too short": good[:1], "nothing": []}[broken]
    code = code_of(lambda: registry.UploadPolicyWeights(iter(sent)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert artefacts.keys() == set()


def test_an_upload_whose_sender_vanishes_leaves_nothing(registry: Stub, artefacts: ArtefactStore) -> None:
    policy = create_policy(registry).policy
    content, _ = make_weights(600_000)
    header = pb.PolicyWeightsHeader(policy_id=policy.id, artefact=header_of(content))
    hang = threading.Event()

    def interrupted() -> Iterator[object]:
        yield from list(parts(pb.UploadPolicyWeightsRequest, header, content))[:2]
        hang.wait(20)

    call = registry.UploadPolicyWeights.future(interrupted())
    _until(lambda: artefacts.keys() != set())
    call.cancel()
    hang.set()
    _until(lambda: artefacts.keys() == set())
    assert registry.GetPolicy(pb.GetPolicyRequest(policy_id=policy.id)).policy.size_bytes == 0


def test_a_watcher_sees_every_change_promptly_and_the_end(registry: Stub) -> None:
    run, lease = claimed_run(registry)
    stream = registry.WatchRun(pb.WatchRunRequest(run_id=run.id))
    assert next(stream).run.state == run_pb2.RUN_STATE_RUNNING
    delays = []
    for step in range(5):
        point = run_pb2.MetricPoint(name="x", step=step, value=step)
        row = run_pb2.Row(task="t", method="m", inner_steps=step)
        begin = time.monotonic()
        registry.ReportRun(
            pb.ReportRunRequest(run_id=run.id, token=lease.token, step=step, metrics=[point], rows=[row])
        )
        news = next(stream)
        delays.append(time.monotonic() - begin)
        assert (news.run.step, [p.step for p in news.metrics]) == (step, [step])
        assert [r.inner_steps for r in news.rows] == [step]
    assert sorted(delays)[2] < 0.4, "woken by polling only"
    registry.CancelRun(pb.CancelRunRequest(run_id=run.id))
    assert next(stream).run.desired_state == run_pb2.RUN_STATE_CANCELLED
    end = pb.ReportRunRequest(run_id=run.id, token=lease.token, state=run_pb2.RUN_STATE_CANCELLED)
    registry.ReportRun(end)
    assert [news.run.state for news in stream] == [run_pb2.RUN_STATE_CANCELLED]


def test_watching_a_finished_run_tells_everything_once(registry: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.task_registry.rpc.NEWS_PER_MESSAGE", 2)
    run, lease = claimed_run(registry)
    points = [run_pb2.MetricPoint(name="x", step=step, value=step) for step in range(5)]
    end = pb.ReportRunRequest(
        run_id=run.id, token=lease.token, state=run_pb2.RUN_STATE_FAILED, metrics=points, error="out of memory"
    )
    registry.ReportRun(end)
    told = list(registry.WatchRun(pb.WatchRunRequest(run_id=run.id)))
    assert [len(news.metrics) for news in told] == [2, 2, 1]
    assert {news.run.error for news in told} == {"out of memory"}
    late = list(registry.WatchRun(pb.WatchRunRequest(run_id=run.id, after_step=2)))
    assert [point.step for news in late for point in news.metrics] == [3, 4]


def test_a_database_that_is_busy_for_too_long_is_unavailable(registry: Stub, sqlite_store: Store) -> None:
    engine = sqlite_store.runs._database.engine.execution_options(lwmecps_write=True)
    task = create_task(registry)
    with engine.begin() as other:
        engine.pool.dispose()
        event.listen(engine.pool, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 50"))
        request = pb.DeleteTaskRequest(task_id=task.id)
        assert code_of(lambda: registry.DeleteTask(request)) is grpc.StatusCode.UNAVAILABLE
        assert registry.GetTask(pb.GetTaskRequest(task_id=task.id)).task == task, "readers don't wait for writers"
        assert other.closed is False
    registry.DeleteTask(request)


def test_watchers_hold_no_database_connection(registry: Stub, sqlite_store: Store) -> None:
    run, _ = claimed_run(registry)
    streams = [registry.WatchRun(pb.WatchRunRequest(run_id=run.id)) for _ in range(16)]
    for stream in streams:
        next(stream)
    engine = sqlite_store.runs._database.engine
    _until(lambda: engine.pool.checkedout() == 0)  # type: ignore[attr-defined]
    for stream in streams:
        stream.cancel()


def _until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def test_memories_are_put_read_listed_and_deleted(registry: Stub) -> None:
    task = create_task(registry).id
    kept = registry.PutMemory(memory_pb2.PutMemoryRequest(task_id=task, name="edge", content=b"x" * 1000)).memory
    got = registry.GetMemory(memory_pb2.GetMemoryRequest(task_id=task, name="edge")).memory
    assert (got.content, got.etag, kept.content, kept.size_bytes) == (b"x" * 1000, kept.etag, b"", 1000)
    assert list(registry.ListMemories(memory_pb2.ListMemoriesRequest(task_id=task)).memories) == [kept]
    put = memory_pb2.PutMemoryRequest(task_id=task, name="edge", content=b"y", etag="another")
    assert code_of(lambda: registry.PutMemory(put)) is grpc.StatusCode.ABORTED
    put = memory_pb2.PutMemoryRequest(task_id=task, name="edge")
    assert code_of(lambda: registry.PutMemory(put)) is grpc.StatusCode.INVALID_ARGUMENT
    registry.DeleteMemory(memory_pb2.DeleteMemoryRequest(task_id=task, name="edge", etag=kept.etag))
    gone = memory_pb2.GetMemoryRequest(task_id=task, name="edge")
    assert code_of(lambda: registry.GetMemory(gone)) is grpc.StatusCode.NOT_FOUND


def test_whoever_watches_a_run_that_nobody_takes_hears_for_how_long(sqlite_store: Store, clock: Clock) -> None:
    service = registry_service(sqlite_store)
    server = start(ServerSettings(), [replace(service, servicer=TaskRegistryServicer(sqlite_store, clock))])
    try:
        with connect(server.address) as channel:
            registry = Stub(channel)
            run = registry.CreateRun(pb.CreateRunRequest(spec=run_spec(create_task(registry).id))).run
            assert run.waiting_for == ""
            news = registry.WatchRun(pb.WatchRunRequest(run_id=run.id), timeout=20)
            assert next(news).run.waiting_for == ""
            for waited_s in (20, 40):
                clock.pass_s(20)
                assert next(news).run.waiting_for == f"a learner: none has taken it for {waited_s} s"
            registry.ClaimRun(pb.ClaimRunRequest(learner_id="learner"))
            assert (claimed := next(news).run).state == run_pb2.RUN_STATE_RUNNING and not claimed.waiting_for
            news.cancel()
    finally:
        server.drain(0)
