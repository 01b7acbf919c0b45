"""What the service answers to requests that can't be granted, over a real channel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from lwmecps_core.specs import ALL_ENV_IDS, DeploymentSpec, WorkloadSpec
from protos.lwmecps.cluster.v1 import cluster_pb2
from protos.lwmecps.common.v1 import backend_pb2, tensor_pb2
from protos.lwmecps.env.v1 import env_pb2 as pb
from services.common import convert
from tests.env_service.conftest import Served, make_task, tensor


def _create(served: Served, env_id: str = "lwmecps-v4", **fields: Any) -> str:
    task = convert.task_to_message(make_task(env_id))
    return str(served.stub.CreateSession(pb.CreateSessionRequest(task=task, **fields)).session_id)


def _ready(served: Served, env_id: str = "lwmecps-v4", **fields: Any) -> str:
    session_id = _create(served, env_id, **fields)
    served.stub.ResetSession(pb.ResetSessionRequest(session_id=session_id))
    return session_id


def _refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, dict[str, str], str]:
    """Status code, reason of each bad field, and message of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    fields = {}
    status = rpc_status.from_call(caught.value)
    for detail in status.details if status else ():
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            fields = {v.field: v.description for v in bad.field_violations}
    return caught.value.code(), fields, caught.value.details()


GOOD = np.zeros((1, 6), np.int32)
NAN = np.full((1, 6), np.nan, np.float32)


@pytest.mark.parametrize(
    ("env_id", "action", "field"),
    [
        ("lwmecps-v4", tensor(np.zeros((1, 5), np.int32)), "action.shape"),
        ("lwmecps-v4", tensor(np.zeros(6, np.int32)), "action.shape"),
        ("lwmecps-v4", tensor(np.zeros((2, 6), np.int32)), "action.shape"),
        ("lwmecps-v4", tensor(np.zeros((1, 6), np.float32)), "action.dtype"),
        ("lwmecps-v4", tensor_pb2.Tensor(dtype=3, shape=(1, 6), data=GOOD.tobytes()[:-1]), "action.data"),
        ("lwmecps-v4", tensor_pb2.Tensor(dtype=3, shape=(1, 6), data=GOOD.tobytes() + b"\0" * 4), "action.data"),
        ("lwmecps-v4", tensor_pb2.Tensor(dtype=3, shape=(2**20, 2**20), data=b""), "action.shape"),
        ("lwmecps-v4", tensor_pb2.Tensor(dtype=3, shape=(2**31, 2**31, 2**31), data=b"\0"), "action.shape"),
        ("lwmecps-v4", tensor_pb2.Tensor(shape=(1, 6), data=GOOD.tobytes()), "action.dtype"),
        ("lwmecps-v4", tensor_pb2.Tensor(dtype=77, shape=(1, 6), data=GOOD.tobytes()), "action.dtype"),
        ("lwmecps-v4", tensor(np.full((1, 6), 5, np.int32)), "action.data"),
        ("lwmecps-v4", tensor(np.full((1, 6), -1, np.int32)), "action.data"),
        ("lwmecps-v4", None, "action"),
        ("lwmecps-v4-continuous", tensor(NAN), "action.data"),
        ("lwmecps-v4-continuous", tensor(np.full((1, 6), np.inf, np.float32)), "action.data"),
        ("lwmecps-v4-continuous", tensor(np.full((1, 6), 1.5, np.float32)), "action.data"),
        ("lwmecps-v4-continuous", tensor(GOOD), "action.dtype"),
    ],
)
def test_bad_action_is_refused_and_its_field_is_named(
    serve: Callable[..., Served], env_id: str, action: Any, field: str
) -> None:
    served = serve()
    session_id = _ready(served, env_id)
    request = pb.StepSessionRequest(session_id=session_id, action=action)
    code, fields, _ = _refused(lambda: served.stub.StepSession(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(fields) == [field]
    stream = pb.StepStreamRequest(session_id=session_id, action=action)
    code, fields, _ = _refused(lambda: list(served.stub.StepStream(iter([stream]))))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(fields) == 1


def test_refused_action_leaves_the_episode_as_it_was(serve: Callable[..., Served]) -> None:
    served = serve()
    answers = []
    for disturbed in (False, True):
        session_id = _ready(served, seed=9)
        if disturbed:
            bad = pb.StepSessionRequest(session_id=session_id, action=tensor(GOOD + 99))
            _refused(lambda bad=bad: served.stub.StepSession(bad))
        request = pb.StepSessionRequest(session_id=session_id, action=tensor(GOOD + 1))
        answers.append(served.stub.StepSession(request).transition.observation.data)
    assert answers[0] == answers[1]


def test_unknown_session_is_not_found(serve: Callable[..., Served]) -> None:
    stub = serve().stub
    placement = cluster_pb2.Placement(replicas=tensor(np.zeros((2, 3), np.int32)))
    calls = [
        lambda: stub.ResetSession(pb.ResetSessionRequest(session_id="nobody")),
        lambda: stub.StepSession(pb.StepSessionRequest(session_id="nobody", action=tensor(GOOD))),
        lambda: stub.CloseSession(pb.CloseSessionRequest(session_id="nobody")),
        lambda: stub.GetClusterState(pb.GetClusterStateRequest(session_id="nobody")),
        lambda: stub.ApplyPlacement(pb.ApplyPlacementRequest(session_id="nobody", placement=placement)),
        lambda: list(stub.StepStream(iter([pb.StepStreamRequest(session_id="nobody", reset=pb.Reset())]))),
    ]
    assert [_refused(call)[0] for call in calls] == [grpc.StatusCode.NOT_FOUND] * len(calls)


def test_step_before_the_first_reset_is_the_wrong_state(serve: Callable[..., Served]) -> None:
    served = serve()
    session_id = _create(served)
    calls = [
        lambda: served.stub.StepSession(pb.StepSessionRequest(session_id=session_id, action=tensor(GOOD))),
        lambda: served.stub.GetClusterState(pb.GetClusterStateRequest(session_id=session_id)),
        lambda: list(served.stub.StepStream(iter([pb.StepStreamRequest(session_id=session_id, action=tensor(GOOD))]))),
    ]
    for call in calls:
        code, _, message = _refused(call)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "reset" in message


def test_closed_session_is_gone(serve: Callable[..., Served]) -> None:
    served = serve()
    session_id = _ready(served)
    served.stub.CloseSession(pb.CloseSessionRequest(session_id=session_id))
    code, _, _ = _refused(lambda: served.stub.ResetSession(pb.ResetSessionRequest(session_id=session_id)))
    assert code is grpc.StatusCode.NOT_FOUND


def test_session_over_the_limit_is_refused(serve: Callable[..., Served]) -> None:
    served = serve(max_sessions=2)
    first = _create(served)
    _create(served)
    assert _refused(lambda: _create(served))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    served.stub.CloseSession(pb.CloseSessionRequest(session_id=first))
    _create(served)


def test_idle_session_is_reaped(serve: Callable[..., Served]) -> None:
    served = serve(session_idle_s=60.0)
    session_id = _ready(served)
    served.clock.now_s = 61.0
    assert served.sessions.reap() == 1
    request = pb.ResetSessionRequest(session_id=session_id)
    assert _refused(lambda: served.stub.ResetSession(request))[0] is grpc.StatusCode.NOT_FOUND


def test_session_that_would_eat_the_memory_is_refused(serve: Callable[..., Served]) -> None:
    served = serve(max_session_numbers=100_000)
    task = convert.task_to_message(make_task())
    many = pb.CreateSessionRequest(task=task, num_envs=4096)
    code, fields, _ = _refused(lambda: served.stub.CreateSession(many))
    assert (code, "num_envs" in fields) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    task.workload.speedup = 1e-9
    code, fields, message = _refused(lambda: served.stub.CreateSession(pb.CreateSessionRequest(task=task)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "task" in fields and "speedup" in message
    _create(served)


def test_environments_come_in_pages(serve: Callable[..., Served]) -> None:
    stub = serve().stub
    seen, token = [], ""
    while True:
        page = stub.ListEnvironments(pb.ListEnvironmentsRequest(page_size=3, page_token=token))
        assert len(page.environments) <= 3
        seen += [(e.id, e.continuous) for e in page.environments]
        token = page.next_page_token
        if not token:
            break
    assert seen == [(env_id, env_id.endswith("continuous")) for env_id in ALL_ENV_IDS]
    bad = pb.ListEnvironmentsRequest(page_token="x")
    assert list(_refused(lambda: stub.ListEnvironments(bad))[1]) == ["page_token"]


def test_placement_is_what_the_cluster_runs_next(serve: Callable[..., Served]) -> None:
    served = serve()
    session_id = _ready(served, "lwmecps-v1", num_envs=2)
    wanted = np.array([[2, 0, 1], [0, 3, 0]], np.int32)
    placement = cluster_pb2.Placement(replicas=tensor(wanted))
    request = pb.ApplyPlacementRequest(session_id=session_id, env_index=1, placement=placement)
    state = served.stub.ApplyPlacement(request).state
    assert np.frombuffer(state.desired.replicas.data, "<i4").tolist() == wanted.ravel().tolist()
    keep = np.ones((2, 1), np.int32)
    for _ in range(3):
        served.stub.StepSession(pb.StepSessionRequest(session_id=session_id, action=tensor(keep)))
    ready = [
        np.frombuffer(
            served.stub.GetClusterState(
                pb.GetClusterStateRequest(session_id=session_id, env_index=i)
            ).state.ready_replicas.data,
            "<i4",
        ).tolist()
        for i in range(2)
    ]
    assert ready[1] == wanted.ravel().tolist()
    assert ready[0] != ready[1]


def test_cluster_state_says_what_is_where(serve: Callable[..., Served]) -> None:
    served = serve()
    session_id = _ready(served)
    served.stub.StepSession(pb.StepSessionRequest(session_id=session_id, action=tensor(GOOD + 1)))
    state = served.stub.GetClusterState(pb.GetClusterStateRequest(session_id=session_id)).state
    assert state.time_s == 10.0
    assert list(state.nodes) == ["n0", "n1", "n2"]
    assert list(state.deployments) == ["d0", "d1"]
    rates = np.frombuffer(state.request_rate_rps.data, "<f4").reshape(2, 3)
    assert (rates > 0).all()
    assert tuple(state.cpu_utilisation.shape) == (3,)


@pytest.mark.parametrize(
    ("replicas", "index", "field"),
    [
        (np.zeros((3, 2), np.int32), 0, "placement.replicas"),
        (np.full((2, 3), -1, np.int32), 0, "placement.replicas"),
        (np.full((2, 3), 3, np.int32), 0, "placement.replicas"),
        (np.full((2, 3), 1.5, np.float32), 0, "placement.replicas.dtype"),
        (np.zeros((2, 3), np.int32), 1, "env_index"),
    ],
)
def test_impossible_placement_is_refused(
    serve: Callable[..., Served], replicas: np.ndarray, index: int, field: str
) -> None:
    served = serve()
    placement = cluster_pb2.Placement(replicas=tensor(replicas))
    request = pb.ApplyPlacementRequest(session_id=_ready(served), env_index=index, placement=placement)
    code, fields, _ = _refused(lambda: served.stub.ApplyPlacement(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(fields) == [field]


def test_a_real_cluster_needs_a_task_that_says_where_it_is(serve: Callable[..., Served]) -> None:
    served = serve()
    code, fields, _ = _refused(lambda: _create(served, backend=backend_pb2.BACKEND_KUBERNETES))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(fields) == ["task.kubernetes"]


def _write_profile(folder: Path) -> None:
    folder.mkdir(parents=True)
    for i in range(3):
        steps = ", ".join(
            f'{{"concurrent_users": {10 + i + t}, "request_interval": 10, "profile_duration": 10}}' for t in range(4)
        )
        hosts = f'[{{"host": "10.0.0.{i}"}}]'
        text = f'{{"id": "bs{i}", "settings": {{"hosts": {hosts}, "load_profiles": [{steps}]}}}}'
        (folder / f"bs{i}.json").write_text(text)


def test_recorded_profile_is_replayed(serve: Callable[..., Served], tmp_path: Path) -> None:
    _write_profile(tmp_path / "profiles" / "city")
    served = serve(profiles_root=tmp_path / "profiles")
    task = make_task(
        deployments=tuple(DeploymentSpec(name=f"d{i}") for i in range(3)),
        workload=WorkloadSpec(base_users=(1.0,) * 3, share=((0.3,) * 3,) * 3, random_start=False),
    )
    request = pb.CreateSessionRequest(
        task=convert.task_to_message(task), backend=backend_pb2.BACKEND_LOAD_PROFILE, profile="city"
    )
    created = served.stub.CreateSession(request)
    transition = served.stub.ResetSession(
        pb.ResetSessionRequest(session_id=created.session_id, with_info=True)
    ).transition
    users = np.frombuffer(transition.info.data, "<f4")[list(created.info_keys).index("users")]
    assert users == 10 + 11 + 12


@pytest.mark.parametrize("profile", ["../secret", "city/../../secret", "/etc", ".", "link", "a\0b"])
def test_profile_outside_the_folder_is_refused(serve: Callable[..., Served], tmp_path: Path, profile: str) -> None:
    _write_profile(tmp_path / "profiles" / "city")
    _write_profile(tmp_path / "secret")
    (tmp_path / "profiles" / "link").symlink_to(tmp_path / "secret")
    served = serve(profiles_root=tmp_path / "profiles")
    code, fields, _ = _refused(lambda: _create(served, backend=backend_pb2.BACKEND_LOAD_PROFILE, profile=profile))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(fields) == ["profile"]


def test_profile_that_the_service_does_not_have_is_not_found(serve: Callable[..., Served], tmp_path: Path) -> None:
    for served in (serve(), serve(profiles_root=tmp_path)):
        code, _, _ = _refused(lambda s=served: _create(s, backend=backend_pb2.BACKEND_LOAD_PROFILE, profile="city"))
        assert code is grpc.StatusCode.NOT_FOUND


def test_load_profile_backend_wants_a_recording(serve: Callable[..., Served]) -> None:
    code, fields, _ = _refused(lambda: _create(serve(), backend=backend_pb2.BACKEND_LOAD_PROFILE))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(fields) == ["profile"]


def test_worker_status_is_passed_on(serve: Callable[..., Served]) -> None:
    status = pb.WorkerStatus(worker_id="w0", state=pb.WORKER_STATE_COLLECTING, transitions=7)
    served = serve(workers=lambda: [status])
    assert list(served.stub.GetWorkerStatus(pb.GetWorkerStatusRequest()).workers) == [status]
