"""Which known clusters one is like, over gRPC and on the command line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from lwmecps_core.context.artefact import Knowledge, subject_of, to_bytes
from lwmecps_core.context.base import PREFIX
from lwmecps_core.context.portrait import quantities
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.meta import likeness
from lwmecps_core.meta.metric import MetricConfig, make
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from protos.lwmecps.registry.v1 import memory_pb2, registry_pb2
from services.cli.main import app
from services.common import convert
from services.learner_service.loops import LOOPS
from tests.learner_service.conftest import Learner, Registry
from tests.sim.random_tasks import random_task

Start = Callable[[object], Learner]


def remembered(service_ms: float, deployments: int = 2, policy_id: str = "", context: str = "statistics") -> bytes:
    """What could be known of a cluster whose requests take so long: each of `deployments` has 10 requests/s."""
    task = random_task(2, nodes=3, deployments=deployments)
    memory = dict(Statistics(env_spec(task)).begin(1))
    memory["intervals"][:] = memory["serving"][:] = 50.0
    limits = np.array([d.max_replicas for d in task.deployments])
    memory["work"][0, :, 0], memory["work"][0, :, 1] = 10.0 * service_ms / 1000.0 / limits, 10.0
    memory["load"][..., 0], memory["load"][..., 1], memory["load_range"][:] = 2.4, 2.4**2, 2.4
    subject = replace(subject_of(task, env_spec(task), "statistics", policy_id), context=context)
    own = {PREFIX + name: x for name, x in memory.items()} if context == "statistics" else {"state": np.zeros((1, 4))}
    return to_bytes(Knowledge(subject, own))


def kept(registry: Registry, content: bytes, name: str = "edge") -> str:
    spec = convert.task_to_message(random_task(2, nodes=3, deployments=2))
    task_id = str(registry.stub.CreateTask(registry_pb2.CreateTaskRequest(spec=spec)).task.id)
    registry.stub.PutMemory(memory_pb2.PutMemoryRequest(task_id=task_id, name=name, content=content))
    return task_id


def test_known_clusters_of_any_size_are_named_with_distances_policies_and_reasons(
    registry: Registry, start_learner: Start, tmp_path: Path
) -> None:
    learner = start_learner(LOOPS["train"])
    far, near = kept(registry, remembered(500.0, 4, "policy-far")), kept(registry, remembered(110.0, 3, "policy-near"))
    odd, learnt = kept(registry, b"x" * 40), kept(registry, remembered(1.0, context="recurrent"))
    own = kept(registry, remembered(100.0))
    asked = pb.GetNearestContextsRequest(task_id=own, name="edge")
    answer = learner.stub.GetNearestContexts(asked)
    assert [x.task_id for x in answer.nearest] == [near, far]
    assert [x.policy_id for x in answer.nearest] == ["policy-near", "policy-far"]
    assert 0.0 < answer.nearest[0].distance < answer.nearest[1].distance
    reason = answer.nearest[1].differs[0]
    assert reason.quantity.startswith("service time of deployments")
    assert (reason.here, reason.there) == ("100 ms", "500 ms")
    reasons = {x.task_id: x.reason for x in answer.skipped}
    assert reasons.keys() == {odd, learnt}
    assert "not a memory file" in reasons[odd] and "'recurrent'" in reasons[learnt]
    assert learner.stub.GetNearestContexts(asked) == answer
    by_file = learner.stub.GetNearestContexts(pb.GetNearestContextsRequest(content=remembered(100.0), limit=1))
    assert [x.task_id for x in by_file.nearest] == [own] and by_file.nearest[0].distance == 0.0

    cfg = MetricConfig(name="relation", hidden_size=4, embedding_size=2)
    metric = likeness.MetricData(cfg, make(cfg).init(len(quantities()), torch.Generator().manual_seed(0)))
    file = tmp_path / "metric.safetensors"
    file.write_bytes(likeness.to_bytes(metric))
    env = {"LWMECPS_CLI_REGISTRY": registry.address, "LWMECPS_CLI_LEARNER": learner.server.address}
    command = ["context", "nearest", "registry:edge", "--task", own, "--metric", str(file), "--json"]
    said = CliRunner().invoke(app, command, env=env)
    assert said.exit_code == 0, said.output
    distances = [x["distance"] for x in json.loads(said.stdout)["nearest"]]
    assert len(distances) == 2 and all(0.0 <= x <= 1.0 for x in distances)
    shown = CliRunner().invoke(
        app, ["context", "nearest", "registry:edge", "--task", own], env=env | {"COLUMNS": "200"}
    )
    assert shown.exit_code == 0 and "policy-near" in shown.stdout and "100 ms" in shown.stdout
    adapted = CliRunner().invoke(app, ["adapt", "like:registry:edge", "--task", own], env=env | {"COLUMNS": "200"})
    assert adapted.exit_code != 0 and "policy policy-near, of edge of" in adapted.output
    assert "Traceback" not in adapted.output


def test_what_can_not_be_compared_is_refused_by_field(registry: Registry, start_learner: Start) -> None:
    learner = start_learner(LOOPS["train"])
    own = kept(registry, remembered(1.0, context="recurrent"))
    for request, said in (
        (pb.GetNearestContextsRequest(), "is needed where content is not given"),
        (pb.GetNearestContextsRequest(content=b"x"), "not a memory file"),
        (pb.GetNearestContextsRequest(content=remembered(1.0), metric=b"x"), "not a metric file"),
        (pb.GetNearestContextsRequest(task_id=own, name="edge"), "only running statistics can be compared"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            learner.stub.GetNearestContexts(request)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and said in str(caught.value.details())
    with pytest.raises(grpc.RpcError) as caught:
        learner.stub.GetNearestContexts(pb.GetNearestContextsRequest(task_id=own, name="absent"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    alone = learner.stub.GetNearestContexts(pb.GetNearestContextsRequest(content=remembered(1.0)))
    assert not alone.nearest and len(alone.skipped) == 1


def test_a_registry_without_other_clusters_says_so(registry: Registry, start_learner: Start) -> None:
    learner = start_learner(LOOPS["train"])
    own = kept(registry, remembered(100.0))
    env = {"LWMECPS_CLI_REGISTRY": registry.address, "LWMECPS_CLI_LEARNER": learner.server.address, "COLUMNS": "300"}
    said = CliRunner().invoke(app, ["context", "nearest", "registry:edge", "--task", own], env=env)
    assert said.exit_code == 0 and "no memory of another cluster" in said.stdout and "distance" not in said.stdout
