"""A session over any cluster backend shows what a session of the simulator shows."""

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.rollout.tensor_codec import tensor_from_proto
from lwmecps_core.specs import ALL_ENV_IDS
from protos.lwmecps.common.v1 import backend_pb2
from protos.lwmecps.env.v1 import env_pb2 as pb
from services.common import convert
from services.env_service import backends
from tests.env_service.conftest import Served, make_task, tensor

HORIZON = 4
FIELDS = ("observation", "mask", "reward", "terminated", "truncated", "info")


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator in the place of a real cluster."""
    monkeypatch.setitem(backends.CLUSTERS, "kubernetes", SimulatedCluster)


def _create(served: Served, backend: int, env_id: str, num_envs: int = 1) -> str:
    task = convert.task_to_message(make_task(env_id, HORIZON))
    request = pb.CreateSessionRequest(task=task, backend=backend, seed=7, num_envs=num_envs)
    return str(served.stub.CreateSession(request).session_id)


def _frames(served: Served, backend: int, env_id: str) -> list[dict[str, Any]]:
    session_id = _create(served, backend, env_id)
    spec, rng = backends.SimulatedSession(make_task(env_id, HORIZON), 1, 0).spec, np.random.default_rng(3)
    seen = served.stub.ResetSession(pb.ResetSessionRequest(session_id=session_id, with_info=True)).transition
    frames = [seen]
    for _ in range(2 * HORIZON):
        action = rng.random((1, spec.action_size), np.float32)
        if spec.discrete:
            action = (action * spec.nvec).astype(np.int32)
        step = pb.StepSessionRequest(session_id=session_id, action=tensor(action), with_info=True)
        frames.append(served.stub.StepSession(step).transition)
    return [{f: tensor_from_proto(getattr(x, f)) for f in FIELDS if x.HasField(f)} for x in frames]


@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
def test_a_cluster_shows_what_the_simulator_shows(serve: Callable[..., Served], env_id: str) -> None:
    served = serve()
    ours = _frames(served, backend_pb2.BACKEND_KUBERNETES, env_id)
    for t, (got, wanted) in enumerate(zip(ours, _frames(served, backend_pb2.BACKEND_SIMULATED, env_id), strict=True)):
        assert got.keys() == wanted.keys()
        for field in got:
            assert (got[field].dtype, got[field].shape) == (wanted[field].dtype, wanted[field].shape)
            np.testing.assert_allclose(got[field], wanted[field], 1e-4, 1e-5, err_msg=f"step {t}: {field}")


def test_a_placement_is_applied_and_shown(serve: Callable[..., Served]) -> None:
    served = serve()
    wanted = np.array([[1, 0, 2], [0, 1, 1]], np.int32)
    states = []
    for backend in (backend_pb2.BACKEND_KUBERNETES, backend_pb2.BACKEND_SIMULATED):
        session_id = _create(served, backend, "lwmecps-v4")
        served.stub.ResetSession(pb.ResetSessionRequest(session_id=session_id))
        placing = pb.ApplyPlacementRequest(session_id=session_id)
        placing.placement.replicas.CopyFrom(tensor(wanted))
        states.append(served.stub.ApplyPlacement(placing).state)
    assert (tensor_from_proto(states[0].desired.replicas) == wanted).all()
    for field in ("ready_replicas", "cpu_utilisation", "ram_utilisation", "request_rate_rps", "latency_ms"):
        got, expected = (tensor_from_proto(getattr(state, field)) for state in states)
        np.testing.assert_allclose(got, expected, 1e-4, 1e-5, err_msg=field)


def test_a_cluster_is_one_environment(serve: Callable[..., Served]) -> None:
    served = serve()
    with pytest.raises(grpc.RpcError) as caught:
        _create(served, backend_pb2.BACKEND_KUBERNETES, "lwmecps-v4", num_envs=2)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "num_envs" in caught.value.details()
