"""Frames and actions ↔ messages, on the path of every step: bytes in, bytes out."""

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.tensor_codec import tensor_to_proto
from lwmecps_core.specs import EnvSpec
from protos.lwmecps.cluster.v1 import cluster_pb2
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.env.v1 import env_pb2
from services.env_service.session import ClusterView, Frame, info_rows


class ActionReader:
    """Checks and decodes the actions `[B, A]` of one session."""

    def __init__(self, spec: EnvSpec, size: int) -> None:
        self._discrete = spec.discrete
        self._shape = (size, spec.action_size)
        self._code = tensor_pb2.DTYPE_INT32 if spec.discrete else tensor_pb2.DTYPE_FLOAT32
        self._dtype = np.dtype("<i4") if spec.discrete else np.dtype("<f4")
        self._bytes = size * spec.action_size * 4
        self._choices = np.asarray(spec.nvec, np.uint32)

    def read(self, message: tensor_pb2.Tensor) -> NDArray[Any]:
        """The array (read-only, sharing the message's bytes); `InvalidInput` naming what is wrong with `action`."""
        if message.dtype != self._code:
            _refuse("action.dtype", f"must be {tensor_pb2.Dtype.Name(self._code)}")
        if tuple(message.shape) != self._shape:
            _refuse("action.shape", f"must be {list(self._shape)}, not {list(message.shape)}")
        data = message.data
        if len(data) != self._bytes:
            _refuse("action.data", f"must have {self._bytes} bytes, not {len(data)}")
        action: NDArray[Any] = np.frombuffer(data, self._dtype).reshape(self._shape)
        # As unsigned numbers negative ones are large; NaN compares false.
        good = action.view("<u4") < self._choices if self._discrete else (action >= 0.0) & (action <= 1.0)
        if not good.all():
            b, a = np.argwhere(~good)[0]
            allowed = f"in [0, {self._choices[a]})" if self._discrete else "a number in [0, 1]"
            _refuse("action.data", f"[{b}][{a}] must be {allowed}, not {action[b, a]}")
        return action


class FrameWriter:
    """Encodes the frames of one session."""

    def __init__(self, spec: EnvSpec, size: int) -> None:
        self._obs_shape, self._mask_shape, self._row = (size, spec.obs_size), (size, spec.mask_size), (size,)

    def write(self, frame: Frame, with_info: bool, target: env_pb2.Transition) -> None:
        """Fill `target` from a frame."""
        _fill(target.observation, tensor_pb2.DTYPE_FLOAT32, self._obs_shape, frame.obs)
        _fill(target.mask, tensor_pb2.DTYPE_BOOL, self._mask_shape, frame.mask)
        if frame.reward is not None:
            _fill(target.reward, tensor_pb2.DTYPE_FLOAT32, self._row, frame.reward)
            _fill(target.terminated, tensor_pb2.DTYPE_BOOL, self._row, frame.terminated)
            _fill(target.truncated, tensor_pb2.DTYPE_BOOL, self._row, frame.truncated)
        if with_info:
            rows = info_rows(frame.info)
            _fill(target.info, tensor_pb2.DTYPE_FLOAT32, rows.shape, rows)


def state_message(view: ClusterView) -> cluster_pb2.ClusterState:
    """What a cluster shows, as a message."""
    return cluster_pb2.ClusterState(
        time_s=view.time_s,
        nodes=[node.name for node in view.task.cluster.nodes],
        deployments=[d.name for d in view.task.deployments],
        desired=cluster_pb2.Placement(replicas=tensor_to_proto(view.desired)),
        ready_replicas=tensor_to_proto(view.ready),
        cpu_utilisation=tensor_to_proto(view.cpu_utilisation),
        ram_utilisation=tensor_to_proto(view.ram_utilisation),
        request_rate_rps=tensor_to_proto(view.request_rate_rps),
        latency_ms=tensor_to_proto(view.latency_ms),
    )


def _fill(target: tensor_pb2.Tensor, code: Any, shape: tuple[int, ...], array: Any) -> None:
    # The simulator's arrays are little-endian and contiguous on every machine that it runs on.
    target.dtype = code
    target.shape.extend(shape)
    target.data = array.tobytes()


def _refuse(field: str, reason: str) -> NoReturn:
    raise InvalidInput("request", [Violation(field, reason)])
