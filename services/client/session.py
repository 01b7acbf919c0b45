"""A session of the env-service: a cluster that is acted on interval by interval."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from numpy.typing import NDArray

from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.env.v1 import env_pb2 as pb
from protos.lwmecps.learner.v1 import learner_pb2
from services.client.tensors import array_of, tensor_of

Array = NDArray[Any]
REWARD = "reward_"
"""What the measurements that are terms of the reward begin with."""


@dataclass(frozen=True)
class SessionShown:
    """What B environments show: obs `[B, O]`, mask `[B, M]`; after a step also reward, terminated, truncated `[B]`, and
    info, name → `[B]`.
    """

    obs: Array
    mask: Array
    reward: Array | None
    terminated: Array | None
    truncated: Array | None
    info: dict[str, Array]

    @property
    def over(self) -> bool:
        """Whether the episode of some environment has ended; its next step only begins a new one."""
        ends = (self.terminated, self.truncated)
        return any(bool(end.any()) for end in ends if end is not None)


class ClientSession:
    """One session; a context manager that closes it. `act` asks a stored policy, and keeps what it remembers."""

    def __init__(self, call: Callable[[Message], Any], task: Any, **options: Any) -> None:
        self._call = call
        answer = call(pb.CreateSessionRequest(task=task, **options))
        self.id: str = answer.session_id
        self.env_spec = answer.env_spec
        self.info_keys: tuple[str, ...] = tuple(answer.info_keys)
        self._before: dict[str, Any] = {}
        self._seen: pb.Transition = pb.Transition()

    def __enter__(self) -> "ClientSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self, seed: int | None = None) -> SessionShown:
        """Begin a new episode; what a policy remembers of the cluster is kept."""
        self._before = {"memory": self._before["memory"]} if "memory" in self._before else {}
        return self._shown(self._call(pb.ResetSessionRequest(session_id=self.id, seed=seed)).transition)

    def step(self, action: Any) -> SessionShown:
        """One control interval under an action `[B, A]`."""
        sent = action if isinstance(action, tensor_pb2.Tensor) else tensor_of(action)
        request = pb.StepSessionRequest(session_id=self.id, action=sent, with_info=True)
        shown = self._shown(self._call(request).transition)
        terms = [shown.info[key] for key in self.info_keys if key.startswith(REWARD)]
        self._before |= {"previous_action": sent, "reward_terms": tensor_of(list(zip(*terms, strict=True)), "float32")}
        return shown

    def act(self, policy_id: str, *, sample: bool = False, seed: int = 0) -> Array:
        """The stored policy's action `[B, A]` for what was seen last."""
        request = learner_pb2.ActRequest(
            policy_id=policy_id,
            observation=self._seen.observation,
            mask=self._seen.mask,
            env_spec=self.env_spec,
            sample=sample,
            seed=seed,
            **self._before,
        )
        answer = self._call(request)
        self._before["memory"] = answer.memory
        return array_of(answer.action)

    def close(self) -> None:
        """End the session."""
        self._call(pb.CloseSessionRequest(session_id=self.id))

    def _shown(self, seen: pb.Transition) -> SessionShown:
        self._seen = seen
        given = {name: array_of(getattr(seen, name)) if seen.HasField(name) else None for name in _OPTIONAL}
        info = dict(zip(self.info_keys, array_of(seen.info), strict=True)) if seen.HasField("info") else {}
        return SessionShown(array_of(seen.observation), array_of(seen.mask), **given, info=info)


_OPTIONAL = ("reward", "terminated", "truncated")
