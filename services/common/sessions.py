"""The one client of env-service sessions: a cluster behind the env-service, as an environment that actors play in."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import CollectionStopped, NotFound, ServiceUnavailable
from lwmecps_core.rollout.play import Bools, Floats, Seeds
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.run_config import Backend
from lwmecps_core.specs import EnvSpec, TaskSpec
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.env.v1 import env_pb2 as pb
from services.common import convert

CALL_S = 120.0
"""How long the env-service may take for its part of a call: the first one after an installation compiles the
simulator. The task's interval and a cluster's own deadlines come on top."""

Call = Callable[[str, Any, float], Any]
"""(method, request, timeout in s) → the env-service's answer; errors come as the domain errors that it raised."""


class SessionEnv:
    """One environment (`Environments` with B = 1) of a session; `close` ends the session and lets go of the cluster.

    `stop` is asked before every step; once it is true, `step` raises `CollectionStopped`.
    """

    def __init__(self, call: Call, task: TaskSpec, backend: Backend, stop: Callable[[], bool] = lambda: False) -> None:
        self.task, self._call, self._stop = task, call, stop
        waits_s = task.kubernetes.ready_deadline_s + task.kubernetes.unreachable_deadline_s if task.kubernetes else 0.0
        self._timeout_s = CALL_S + task.interval_s + 2.0 * waits_s
        request = pb.CreateSessionRequest(
            task=convert.task_to_message(task), backend=convert.backend_to_message(backend)
        )
        session = call("CreateSession", request, self._timeout_s)
        self._id, self._info_keys = session.session_id, tuple(session.info_keys)
        self._last: tuple[Floats, Bools]

    @property
    def spec(self) -> EnvSpec:
        """Shapes of the task's environment."""
        return env_spec(self.task)

    def reset(self, seeds: Seeds | None) -> tuple[Floats, Bools]:
        """Bring the deployments to their initial replicas and let an interval pass; without seeds, by the session's."""
        request = pb.ResetSessionRequest(session_id=self._id, seed=None if seeds is None else int(seeds[0]))
        return self._seen(self._call("ResetSession", request, self._timeout_s).transition)

    def reset_where(self, which: Bools, seeds: Seeds) -> tuple[Floats, Bools]:
        """What the step before saw: a session's step after an episode's end is itself the reset."""
        return self._last

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]:
        """One control interval of the cluster."""
        if self._stop():
            raise CollectionStopped("the run must stop")
        request = pb.StepSessionRequest(session_id=self._id, action=tensor_to_proto(action), with_info=True)
        seen = self._call("StepSession", request, self._timeout_s).transition
        reward, terminated, truncated = (_array(x) for x in (seen.reward, seen.terminated, seen.truncated))
        info = dict(zip(self._info_keys, _array(seen.info), strict=True))
        return *self._seen(seen), reward, terminated, truncated, info

    def close(self) -> None:
        """End the session; a service that is gone has no session to end."""
        with suppress(NotFound, ServiceUnavailable):
            self._call("CloseSession", pb.CloseSessionRequest(session_id=self._id), self._timeout_s)

    def _seen(self, transition: pb.Transition) -> tuple[Floats, Bools]:
        self._last = _array(transition.observation), _array(transition.mask)
        return self._last


def _array(message: tensor_pb2.Tensor) -> Any:
    """A message's array, writable as PyTorch wants it."""
    return tensor_from_proto(message).copy()
