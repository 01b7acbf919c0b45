"""What a service raises is what its client gets."""

import grpc
import pytest

from lwmecps_core import errors as e
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.common.client import connect
from services.common.codes import BAD_INPUT, FAILED, REFUSED, UNREACHABLE, exit_code
from services.common.errors import from_rpc_error, rpc_errors, to_status

CLOSE = env_pb2.CloseSessionRequest(session_id="s")
TABLE = [
    (e.InvalidInput("task", [e.Violation("nodes", "too few")]), grpc.StatusCode.INVALID_ARGUMENT),
    (e.NotFound("run", "r1"), grpc.StatusCode.NOT_FOUND),
    (e.ModelFileNotFound("p1"), grpc.StatusCode.NOT_FOUND),
    (e.AlreadyExists("taken"), grpc.StatusCode.ALREADY_EXISTS),
    (e.WrongState("run r1 is completed"), grpc.StatusCode.FAILED_PRECONDITION),
    (e.Conflict("stale token"), grpc.StatusCode.ABORTED),
    (e.QueueFull("no room"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (e.DamagedArtefact("policies/p1", "too short"), grpc.StatusCode.DATA_LOSS),
    (e.CollectionTimeout("late"), grpc.StatusCode.DEADLINE_EXCEEDED),
    (e.CollectionFailed("broke"), grpc.StatusCode.UNKNOWN),
    (e.CollectionStopped("stopped"), grpc.StatusCode.CANCELLED),
    (e.Diverged("training diverged in step 3"), grpc.StatusCode.INTERNAL),
    (e.RunEnded("run r failed: out of luck"), grpc.StatusCode.INTERNAL),
    (e.QueueUnavailable("no Redis"), grpc.StatusCode.UNAVAILABLE),
    (e.ClusterUnavailable("no cluster"), grpc.StatusCode.UNAVAILABLE),
    (e.SourceUnavailable("no Prometheus"), grpc.StatusCode.UNAVAILABLE),
    (e.AccessDenied("may not patch deployments"), grpc.StatusCode.PERMISSION_DENIED),
    (e.ServiceUnavailable("no registry"), grpc.StatusCode.UNAVAILABLE),
    (e.LwmecpsError("odd"), grpc.StatusCode.INTERNAL),
]


@pytest.mark.parametrize(("error", "code"), TABLE, ids=lambda x: getattr(x, "name", type(x).__name__))
def test_an_error_arrives_with_its_status_class_and_message(servicer, stub, error, code) -> None:
    servicer.error = error
    with pytest.raises(grpc.RpcError) as caught:
        stub.CloseSession(CLOSE, timeout=5)
    assert caught.value.code() is code
    again = from_rpc_error(caught.value)
    assert type(again) is type(error)
    if not isinstance(error, e.InvalidInput):
        assert str(again) == str(error)


def test_every_error_of_the_library_is_in_the_table() -> None:
    ours = {c for c in vars(e).values() if isinstance(c, type) and issubclass(c, e.LwmecpsError)}
    assert ours == {type(error) for error, _ in TABLE}


def test_a_missing_policy_file_says_so_with_its_id(servicer, stub) -> None:
    servicer.error = e.ModelFileNotFound("policy-7")
    with pytest.raises(grpc.RpcError) as caught:
        stub.CloseSession(CLOSE, timeout=5)
    assert caught.value.details() == "Model file not found: policy-7"


def test_an_error_that_the_library_does_not_know_has_the_status_of_its_base(servicer, stub) -> None:
    class RegistryAway(e.ServiceUnavailable):
        pass

    servicer.error = RegistryAway("registry at 10.0.0.1:1 is away")
    with pytest.raises(e.LwmecpsError, match=r"registry at 10\.0\.0\.1:1 is away"), rpc_errors("here"):
        stub.CloseSession(CLOSE, timeout=5)


def test_an_unexpected_error_tells_the_client_nothing_of_its_inside(servicer, stub) -> None:
    servicer.error = KeyError("secret")
    with pytest.raises(grpc.RpcError) as caught:
        stub.CloseSession(CLOSE, timeout=5)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in caught.value.details()


def test_what_is_not_built_is_unimplemented(servicer, stub) -> None:
    servicer.error = NotImplementedError("real clusters come later")
    with pytest.raises(grpc.RpcError) as caught:
        stub.CloseSession(CLOSE, timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "real clusters come later"


def test_an_error_in_a_stream_arrives_like_one_in_a_call(servicer, stub) -> None:
    servicer.error = e.NotFound("session", "s")
    with pytest.raises(e.NotFound, match="session not found: s"), rpc_errors("here"):
        list(stub.StepStream(iter([env_pb2.StepStreamRequest(session_id="s", reset=env_pb2.Reset())]), timeout=5))


def test_an_error_of_a_service_behind_keeps_its_class(servicer, stub) -> None:
    servicer.error = e.Conflict("stale token")
    with pytest.raises(grpc.RpcError) as caught:
        stub.CloseSession(CLOSE, timeout=5)
    servicer.error = caught.value
    with pytest.raises(e.Conflict, match="stale token"), rpc_errors("here"):
        stub.CloseSession(CLOSE, timeout=5)


def test_the_path_of_a_part_is_the_path_in_the_request(servicer, stub) -> None:
    servicer.error = e.InvalidInput("spec: train", [e.Violation("total_episodes", "too many")])
    with pytest.raises(e.InvalidInput) as caught, rpc_errors("here"):
        stub.CloseSession(CLOSE, timeout=5)
    assert caught.value.violations == (e.Violation("spec.train.total_episodes", "too many"),)


def test_hundreds_of_violations_still_fit_into_the_answer(servicer, stub) -> None:
    servicer.error = e.InvalidInput("task", [e.Violation(f"nodes[{i}].name", "x" * 500) for i in range(300)])
    with pytest.raises(e.InvalidInput) as caught, rpc_errors("here"):
        stub.CloseSession(CLOSE, timeout=5)
    assert caught.value.violations[0].field == "task.nodes[0].name"
    assert "285 more" in caught.value.violations[-1].reason
    assert to_status(servicer.error).ByteSize() < 8192


def test_an_unreachable_service_is_named_by_its_address() -> None:
    address = "127.0.0.1:1"
    with connect(address) as channel:
        stub = env_pb2_grpc.EnvServiceStub(channel)
        with pytest.raises(e.ServiceUnavailable, match=address), rpc_errors(address):
            stub.CloseSession(CLOSE, timeout=5)


def test_a_process_ends_with_the_code_of_what_went_wrong() -> None:
    codes = {type(error): exit_code(error) for error, _ in TABLE}
    unreachable = {e.ServiceUnavailable, e.QueueUnavailable}
    assert {c for c, code in codes.items() if code == FAILED} == {e.RunEnded}
    assert {c for c, code in codes.items() if code == UNREACHABLE} == unreachable
    assert {c for c, code in codes.items() if code == BAD_INPUT} == {e.InvalidInput}
    assert {code for c, code in codes.items() if c not in {e.RunEnded, e.InvalidInput} | unreachable} == {REFUSED}
