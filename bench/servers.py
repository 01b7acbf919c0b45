"""Reference servers: `python -m bench.servers echo|dm_env_rpc PORT THREADS` serves on loopback until SIGTERM.

`echo` answers an empty message with an empty message: what any unary call costs. `dm_env_rpc` serves one environment
by the protocol of PyPI's `dm-env-rpc`, written like that package's own example server.
"""

import sys
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from dm_env_rpc.v1 import dm_env_rpc_pb2, dm_env_rpc_pb2_grpc, spec_manager, tensor_utils
from google.protobuf import empty_pb2

from bench.cases import SEED, square_task
from lwmecps_core.envs.vector import BatchEnv


def main(kind: str, port: str, threads: str) -> None:
    """Serve until the process is ended."""
    server = grpc.server(futures.ThreadPoolExecutor(int(threads)))
    {"echo": _add_echo, "dm_env_rpc": _add_dm_env_rpc}[kind](server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def _add_echo(server: grpc.Server) -> None:
    echo = grpc.unary_unary_rpc_method_handler(
        lambda request, context: request, empty_pb2.Empty.FromString, empty_pb2.Empty.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Call": echo}),))


def _add_dm_env_rpc(server: grpc.Server) -> None:
    dm_env_rpc_pb2_grpc.add_EnvironmentServicer_to_server(DmEnvRpcServicer(), server)


class DmEnvRpcServicer(dm_env_rpc_pb2_grpc.EnvironmentServicer):
    """One `lwmecps-v4` environment per stream."""

    def Process(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        """Answer create, join, reset, step, leave and destroy until the client closes."""
        session = _DmSession()
        for request in request_iterator:
            response = dm_env_rpc_pb2.EnvironmentResponse()
            try:
                name = request.WhichOneof("payload")
                getattr(response, name).CopyFrom(getattr(session, name)(getattr(request, name)))
            except Exception as error:
                response.error.message = str(error)
            yield response


class _DmSession:
    """One environment, stepped by the very kernel that `StepStream` runs."""

    def __init__(self) -> None:
        self.env = BatchEnv([square_task(4)], [0])
        self.specs = _specs(self.env.spec.obs_size, self.env.spec.mask_size, self.env.spec.action_size)
        self.actions = spec_manager.SpecManager(self.specs.actions)
        self.observations = spec_manager.SpecManager(self.specs.observations)
        self.done = True

    def create_world(self, request: Any) -> Any:
        return dm_env_rpc_pb2.CreateWorldResponse(world_name="world")

    def join_world(self, request: Any) -> Any:
        return dm_env_rpc_pb2.JoinWorldResponse(specs=self.specs)

    def step(self, request: Any) -> Any:
        if self.done:
            obs, mask = self.env.reset([SEED])
            reward, self.done = np.zeros(1, np.float32), False
        else:
            action = self.actions.unpack(request.actions)["action"]
            obs, mask, reward, terminated, truncated, _ = self.env.step(action[None])
            self.done = bool(terminated[0] or truncated[0])
        packed = self.observations.pack({"observation": obs[0], "mask": mask[0], "reward": reward[0]})
        states = dm_env_rpc_pb2.EnvironmentStateType
        state = states.INTERRUPTED if self.done else states.RUNNING
        wanted = {uid: packed[uid] for uid in request.requested_observations}
        return dm_env_rpc_pb2.StepResponse(state=state, observations=wanted)

    def reset(self, request: Any) -> Any:
        self.done = True
        return dm_env_rpc_pb2.ResetResponse(specs=self.specs)

    def leave_world(self, request: Any) -> Any:
        return dm_env_rpc_pb2.LeaveWorldResponse()

    def destroy_world(self, request: Any) -> Any:
        return dm_env_rpc_pb2.DestroyWorldResponse()


def _specs(obs_size: int, mask_size: int, action_size: int) -> Any:
    def tensor(name: str, dtype: Any, shape: list[int]) -> Any:
        return dm_env_rpc_pb2.TensorSpec(name=name, dtype=tensor_utils.np_type_to_data_type(dtype), shape=shape)

    return dm_env_rpc_pb2.ActionObservationSpecs(
        actions={1: tensor("action", np.int32, [action_size])},
        observations={
            1: tensor("observation", np.float32, [obs_size]),
            2: tensor("mask", np.bool_, [mask_size]),
            3: tensor("reward", np.float32, []),
        },
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
