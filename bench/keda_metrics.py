"""The tail of `GetMetrics` of the scaler for KEDA, against that of an empty unary call."""

import time
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf import empty_pb2

from bench.acting import acting_system
from bench.latency import p99_us
from bench.processes import reference_server
from bench.report import BenchRow
from bench.timing import interleave
from protos.keda import externalscaler_pb2 as pb
from protos.keda.externalscaler_pb2_grpc import ExternalScalerStub

CALLS = 2000
CEILING = 2.0
FIRST_S = 180.0
"""How long the first control interval may take: the session compiles the simulator."""


def run() -> BenchRow:
    with acting_system(["statistics"]) as system, reference_server("echo") as echo_channel:
        metadata = {"policy": system.policy_ids["statistics"], "task": system.task_id}
        ref = pb.ScaledObjectRef(
            name="web",
            namespace="edge",
            scalerMetadata={**metadata, "deployment": "app-0", "backend": "simulated", "sure_share": "0"},
        )
        stub = ExternalScalerStub(system.channel)  # type: ignore[no-untyped-call]
        request = pb.GetMetricsRequest(scaledObjectRef=ref, metricName="replicas")
        _wait(stub, request)
        echo = echo_channel.unary_unary(
            "/bench.Echo/Call", empty_pb2.Empty.SerializeToString, empty_pb2.Empty.FromString
        )
        pair = interleave(
            lambda: p99_us(lambda: stub.GetMetrics(request), CALLS),
            lambda: p99_us(lambda: echo(empty_pb2.Empty()), CALLS),
            rounds=9,
            warm_up=2,
        )
    return BenchRow(
        name="keda_metrics",
        value=pair.measured,
        unit="us, 99th percentile of a call",
        ratio=pair.ratio,
        against="an empty unary echo",
        floor=f"<= {CEILING:g} times",
        met=pair.ratio <= CEILING,
        detail=pair.detail(),
    )


def _wait(stub: Any, request: pb.GetMetricsRequest) -> None:
    end = time.monotonic() + FIRST_S
    while time.monotonic() < end:
        with suppress(grpc.RpcError):
            stub.GetMetrics(request, timeout=5)
            time.sleep(20.0)  # the rule that stands in for the policy is calibrated once
            return
        time.sleep(0.5)
    raise TimeoutError("the cluster was not followed in time")
