"""Hostile requests: `FUZZ_REQUESTS=10000` is the long form, by so many requests per method."""

import os
import random
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.learner.v1 import learner_pb2
from tests.chaos.fuzzing import FILE, METHODS, NO_WORK, SERVICES, Target, throw_bytes
from tests.chaos.system import running
from tests.learner_service.fakes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600 if "FUZZ_REQUESTS" in os.environ else 120)]
COUNT = int(os.environ.get("FUZZ_REQUESTS", "100"))
SEED = 1
GROWTH_MIB = 400
"""How much a service may have grown after all of it: what it learnt to import, and the sessions that were opened."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The services without workers and slots, which no request reaches."""
    with running(tmp_path_factory.mktemp("fuzz") / "state", learners=1, more=NO_WORK) as system:
        made = Target(system, SEED)
        before = made.memory_mib()
        yield made
        grown = {name: now - before[name] for name, now in made.memory_mib().items()}
        made.close()
        assert max(grown.values()) < GROWTH_MIB, grown


@pytest.mark.parametrize(("service", "method"), METHODS, ids=[method.name for _, method in METHODS])
def test_no_request_makes_a_service_fail(target: Target, service: str, method: Any) -> None:
    report = target.fuzz(service, method, COUNT)
    assert not report.wrong, "\n".join(report.wrong)
    target.still_works(service)


@pytest.mark.parametrize(("service", "method"), METHODS, ids=[method.name for _, method in METHODS])
def test_hypothesis_finds_no_request_that_makes_a_service_fail(target: Target, service: str, method: Any) -> None:
    """Its choices, over the same descriptors, can be made smaller until the smallest request that fails is left."""

    @settings(
        max_examples=max(20, COUNT // 20),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def ask(rng: random.Random) -> None:
        requests = target.requests(method, rng)
        _, wrong = target.ask(service, method, requests)
        assert not wrong, f"{wrong} for {requests!r}"

    ask()
    target.still_works(service)


@pytest.mark.parametrize("name", ["UploadCheckpoint", "UploadPolicyWeights"])
def test_uploads_that_stop_in_the_middle_leave_places_to_others(target: Target, name: str) -> None:
    ended, header = threading.Event(), target.uploads[name]

    def slowly() -> Iterator[bytes]:
        yield header.SerializeToString()
        yield type(header)(chunk=FILE[:10]).SerializeToString()
        ended.wait(60)

    with grpc.insecure_channel(target.system.addresses.registry) as channel:
        upload = channel.stream_unary(f"/lwmecps.registry.v1.TaskRegistryService/{name}")
        calls = [upload.future(slowly(), timeout=60) for _ in range(40)]
        wait_until(lambda: sum(call.done() for call in calls) >= 24, timeout_s=20)
        refused = {call.code() for call in calls if call.done()}
        target.still_works("registry")
        ended.set()
        codes = {call.code() for call in calls}
    assert refused == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert codes <= {*refused, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS}
    target.still_works("registry")


@pytest.mark.parametrize("service", SERVICES)
def test_bytes_that_are_no_requests_leave_a_port_usable(target: Target, service: str) -> None:
    throw_bytes(getattr(target.system.addresses, service), SEED, min(COUNT, 200))
    target.still_works(service)


def test_a_message_beyond_the_limit_is_refused_before_it_is_read(target: Target) -> None:
    huge = tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_FLOAT32, shape=[2**23], data=bytes(2**25))
    address = target.system.addresses.learner
    options = [("grpc.max_send_message_length", 2**26)]
    with grpc.insecure_channel(address, options) as channel:
        call = channel.unary_unary("/lwmecps.learner.v1.LearnerService/Act")
        with pytest.raises(grpc.RpcError) as caught:
            call(learner_pb2.ActRequest(policy_id="p", observation=huge).SerializeToString(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    target.still_works("learner")
