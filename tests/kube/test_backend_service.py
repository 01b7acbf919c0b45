"""A session of the env-service on a real cluster, over gRPC."""

from collections.abc import Iterator
from dataclasses import replace

import grpc
import numpy as np
import pytest

from lwmecps_core import algorithms
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.tensor_codec import tensor_from_proto
from lwmecps_core.run_config import AdaptConfig, PPOConfig
from lwmecps_core.specs import DeploymentSpec, TaskSpec
from lwmecps_core.training import adapt
from lwmecps_core.training.sampling import torch_generator
from protos.lwmecps.common.v1 import backend_pb2
from protos.lwmecps.env.v1 import env_pb2 as pb
from scripts.kube import ControlPlane
from services.common import convert
from services.common.client import Caller
from services.env_service.settings import EnvServiceSettings
from services.learner_service.session_collector import SessionCollector
from tests.env_service.conftest import Served, tensor
from tests.kube.cluster import Bench, in_namespace, namespace, task_of

pytestmark = pytest.mark.kube

WEB = DeploymentSpec(name="web", max_replicas=4, startup_s=0.0)


@pytest.fixture
def bench(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    with namespace(control_plane) as bench:
        bench.deploy(WEB, 1)
        yield bench


@pytest.fixture
def services() -> Iterator[list[Served]]:
    """Two env-services."""
    running = [Served(EnvServiceSettings(port=0, log_level="error"), list) for _ in range(2)]
    yield running
    for served in running:
        served.close()


def _open(served: Served, task: TaskSpec) -> str:
    request = pb.CreateSessionRequest(task=convert.task_to_message(task), backend=backend_pb2.BACKEND_KUBERNETES)
    return str(served.stub.CreateSession(request).session_id)


def test_a_session_moves_pods_on_the_real_cluster_and_closing_it_moves_them_back(
    bench: Bench, services: list[Served]
) -> None:
    task = in_namespace(task_of(["node-0", "node-1"], (WEB,), rollback=True), bench.namespace)
    stub, session_id = services[0].stub, _open(services[0], task)
    stub.ResetSession(pb.ResetSessionRequest(session_id=session_id))
    step = pb.StepSessionRequest(session_id=session_id, action=tensor(np.array([[0, 2]], np.int32)), with_info=True)
    info = tensor_from_proto(stub.StepSession(step).transition.info)
    assert np.isfinite(info).all()
    stub.StepSession(step)
    state = stub.GetClusterState(pb.GetClusterStateRequest(session_id=session_id)).state
    assert tensor_from_proto(state.ready_replicas).tolist() == [[0, 2]]
    assert bench.replicas() == {"web": 0, "web-node-0": 0, "web-node-1": 2}
    stub.CloseSession(pb.CloseSessionRequest(session_id=session_id))
    assert bench.replicas() == {"web": 1}


def test_a_policy_adapts_to_the_real_cluster_through_a_session(bench: Bench, services: list[Served]) -> None:
    task = in_namespace(task_of(["node-0", "node-1"], (WEB,), rollback=True, min_replicas=1), bench.namespace)
    task = replace(task, env_id="lwmecps-v3", horizon=4)
    spec, algorithm = env_spec(task), PPOConfig(hidden_size=(8, 8))
    params, extra = algorithms.make(algorithm, spec).init(torch_generator(1, "weights"))
    collector = SessionCollector(Caller("env", services[0].stub), "kubernetes", lambda: False)
    cfg = AdaptConfig(
        adaptation_steps=1,
        episodes_per_step=1,
        evaluation_episodes=1,
        backend="kubernetes",
        keep_placement_if_worse=False,  # which random weights are here
    )
    before, after = adapt(PolicyData(algorithm, spec, params, extra), (task,), cfg, collector, seed=1)
    assert sum(bench.replicas().values()) == len(bench.pods_at()) > 0
    assert set(bench.replicas()) == {"web", "web-node-0"}  # v3 places at home
    collector.close(ended=True)
    assert bench.replicas() == {"web": 1}
    assert (before.rows[0].inner_steps, after.rows[0].inner_steps) == (0, 1)
    assert np.isfinite(after.rows[0].reward) and after.policy is not None


def test_of_two_services_on_one_namespace_the_second_is_told_who_controls_it(
    bench: Bench, services: list[Served]
) -> None:
    task = in_namespace(task_of(["node-0", "node-1"], (WEB,)), bench.namespace)
    first, second = (_open(served, task) for served in services)
    services[0].stub.ResetSession(pb.ResetSessionRequest(session_id=first))
    with pytest.raises(grpc.RpcError) as caught:
        services[1].stub.ResetSession(pb.ResetSessionRequest(session_id=second))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert f"namespace {bench.namespace} is controlled by" in caught.value.details()
    for served, session_id in zip(services, (first, second), strict=True):
        served.stub.CloseSession(pb.CloseSessionRequest(session_id=session_id))
