"""The tail of `ModelInfer` with a policy that remembers, against that of one that does not: Open Inference Protocol."""

from typing import Any

import numpy as np

from bench.acting import acting_system
from bench.latency import p99_us
from bench.report import BenchRow
from bench.timing import interleave
from protos.oip import inference_pb2 as pb
from protos.oip.inference_pb2_grpc import GRPCInferenceServiceStub
from services.learner_service.inference.tensors import KINDS

CALLS = 1000
CEILING = 1.5
STATELESS = "none"
REMEMBERING = ("statistics", "recurrent")


def run() -> BenchRow:
    with acting_system([STATELESS, *REMEMBERING]) as system:
        stub = GRPCInferenceServiceStub(system.channel)  # type: ignore[no-untyped-call]
        asked = {name: _request(stub, policy) for name, policy in system.policy_ids.items()}

        def tail(name: str) -> float:
            return p99_us(lambda: stub.ModelInfer(asked[name]), CALLS)

        pairs = {
            name: interleave(lambda name=name: tail(name), lambda: tail(STATELESS), rounds=9, warm_up=2)
            for name in REMEMBERING
        }
    slowest = max(pairs, key=lambda name: pairs[name].ratio)
    pair = pairs[slowest]
    return BenchRow(
        name="infer_memory",
        value=pair.measured,
        unit=f"us, 99th percentile of a call ({slowest})",
        ratio=pair.ratio,
        against="a policy without memory",
        floor=f"<= {CEILING:g} times",
        met=pair.ratio <= CEILING,
        detail={name: each.detail() | {"ratio": each.ratio} for name, each in pairs.items()},
    )


def _request(stub: Any, policy: str) -> pb.ModelInferRequest:
    """All that the policy takes, as its second interval on a cluster would send it: raw, with what it remembers."""
    tensors = stub.ModelMetadata(pb.ModelMetadataRequest(name=policy)).inputs
    request = pb.ModelInferRequest(model_name=policy)
    for tensor in tensors:
        shape = [1, *tensor.shape[1:]]
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
        values = np.ones if tensor.name == "mask" else np.zeros
        request.raw_input_contents.append(values(shape, KINDS[tensor.datatype][0]).tobytes())
    return request
