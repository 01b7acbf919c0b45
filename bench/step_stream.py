"""`StepStream` with 64 environments per message, against dm_env_rpc's steps of one environment."""

import queue
from collections.abc import Callable
from itertools import cycle
from typing import Any

import grpc
import numpy as np
from dm_env_rpc.v1 import connection, dm_env_adaptor, dm_env_rpc_pb2

from bench.processes import reference_server
from bench.report import BenchRow
from bench.stepping import env_service, open_session, tensor
from bench.timing import interleave, wall_rate
from protos.lwmecps.env.v1 import env_pb2 as pb

ENVS = 64
ROUND_S = 0.7
STEPS = 50
FLOOR = 50.0


def run() -> BenchRow:
    with env_service() as channel, reference_server("dm_env_rpc") as dm_channel:
        ours, theirs = stream_steps(channel), dm_env_rpc_steps(dm_channel)
        pair = interleave(lambda: wall_rate(ours, ROUND_S), lambda: wall_rate(theirs, ROUND_S), rounds=7, warm_up=1)
    return BenchRow(
        name="step_stream",
        value=pair.measured,
        unit="environment steps/s",
        ratio=pair.ratio,
        against="dm_env_rpc, one environment, same simulator",
        floor=f">= {FLOOR:g} times",
        met=pair.ratio >= FLOOR,
        detail={"environments_per_message": ENVS, **pair.detail()},
    )


def stream_steps(channel: grpc.Channel) -> Callable[[], int]:
    """A function that does `STEPS` steps, each sent when the answer to the one before was read."""
    session = open_session(channel, ENVS)
    requests: queue.SimpleQueue[pb.StepStreamRequest] = queue.SimpleQueue()
    answers = session.stub.StepStream(iter(requests.get, None))
    actions = cycle(session.actions)

    def step() -> Any:
        requests.put(pb.StepStreamRequest(session_id=session.id, action=tensor(next(actions))))
        transition = next(answers).transition
        return (
            np.frombuffer(transition.observation.data, "<f4").reshape(ENVS, -1),
            np.frombuffer(transition.mask.data, "?").reshape(ENVS, -1),
            np.frombuffer(transition.reward.data, "<f4"),
        )

    def run() -> int:
        for _ in range(STEPS):
            step()
        return STEPS * ENVS

    return run


def dm_env_rpc_steps(channel: grpc.Channel) -> Callable[[], int]:
    """A function that does `STEPS` steps through dm_env_rpc's own client, spared the nesting of its tensors."""
    client = connection.Connection(channel)
    client.send(dm_env_rpc_pb2.CreateWorldRequest())
    specs = client.send(dm_env_rpc_pb2.JoinWorldRequest(world_name="world")).specs
    env = dm_env_adaptor.DmEnvAdaptor(client, specs, nested_tensors=False)
    size = specs.actions[1].shape[0]
    rng = np.random.default_rng(0)
    actions = cycle([rng.integers(0, 3, size, np.int32) for _ in range(8)])

    def run() -> int:
        for _ in range(STEPS):
            env.step({"action": next(actions)})
        return STEPS

    return run
