"""`StepSession` for one environment, against an empty unary call."""

from itertools import cycle

from google.protobuf import empty_pb2

from bench.processes import reference_server
from bench.report import BenchRow
from bench.stepping import env_service, open_session, tensor
from bench.timing import interleave, median_latency_us
from protos.lwmecps.env.v1 import env_pb2 as pb

CALLS = 400
FLOOR = 2.0


def run() -> BenchRow:
    with env_service() as channel, reference_server("echo") as echo_channel:
        session = open_session(channel, 1)
        echo = echo_channel.unary_unary(
            "/bench.Echo/Call", empty_pb2.Empty.SerializeToString, empty_pb2.Empty.FromString
        )
        actions = cycle(session.actions)

        def step() -> bytes:
            request = pb.StepSessionRequest(session_id=session.id, action=tensor(next(actions)))
            transition = session.stub.StepSession(request).transition
            return bytes(transition.observation.data)

        pair = interleave(
            lambda: median_latency_us(step, CALLS),
            lambda: median_latency_us(lambda: echo(empty_pb2.Empty()), CALLS),
            rounds=9,
            warm_up=2,
        )
    return BenchRow(
        name="step_unary",
        value=pair.measured,
        unit="us, median of a call",
        ratio=pair.ratio,
        against="an empty unary echo",
        floor=f"<= {FLOOR:g} times",
        met=pair.ratio <= FLOOR,
        detail=pair.detail(),
    )
