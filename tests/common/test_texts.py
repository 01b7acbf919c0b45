"""Texts that no database keeps are found wherever they stand."""

import grpc
import pytest

from lwmecps_core.rollout.spec_codec import task_to_proto
from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.registry.v1 import registry_pb2
from services.common.texts import fields_with_nul
from tests.rollout.factory import tasks


def test_nul_is_found_in_parts_lists_and_maps() -> None:
    request = registry_pb2.CreateTaskRequest(spec=task_to_proto(tasks(1)[0]), labels={"a": "b"})
    assert not list(fields_with_nul(request))
    request.spec.deployments[0].name = "web\0"
    request.spec.deployments[0].allowed_nodes.append("\0")
    request.labels["x\0"] = "y"
    request.request_id = "r\0"
    assert set(fields_with_nul(request)) == {
        "spec.deployments[0].name",
        "spec.deployments[0].allowed_nodes",
        "labels",
        "request_id",
    }


def test_bytes_may_hold_anything() -> None:
    request = env_pb2.StepSessionRequest(session_id="s")
    request.action.data = b"\0\0\0\0"
    assert not list(fields_with_nul(request))


def test_a_request_with_nul_names_the_field(stub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.CloseSession(env_pb2.CloseSessionRequest(session_id="a\0b"), timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "session_id" in caught.value.details()
