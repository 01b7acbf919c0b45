"""Collection on a real cluster: episodes one after the other, through a session of the env-service."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.batch import RolloutBatch, concatenate
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import CollectionStopped, LwmecpsError
from lwmecps_core.rollout.chunks import take_tasks
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.inbox import Ledger
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.rollout.unroll import Bools, Floats, drive
from lwmecps_core.specs import EnvSpec, TaskSpec
from lwmecps_core.training.sampling import seeds
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.env.v1 import env_pb2 as pb
from services.common import convert
from services.common.errors import rpc_errors

CALL_S = 60.0
"""How long the env-service may take for its part of a call; the cluster's own deadlines come on top."""


@dataclass(frozen=True)
class EnvService:
    """The env-service as sessions need it; errors come back as the domain errors that it raised."""

    stub: Any
    address: str

    def __call__(self, method: str, request: Any, timeout_s: float) -> Any:
        """Call a unary method by name."""
        with rpc_errors(self.address):
            return getattr(self.stub, method)(request, timeout=timeout_s)


class SessionEnv:
    """One environment (`Environments` with B = 1) on the real cluster of a task; `close` lets go of the cluster.

    `stop` is asked before every step; once it is true, `step` raises `CollectionStopped`.
    """

    def __init__(self, service: EnvService, task: TaskSpec, stop: Callable[[], bool]) -> None:
        self.task, self._service, self._stop = task, service, stop
        waits = task.kubernetes.ready_deadline_s + task.kubernetes.unreachable_deadline_s if task.kubernetes else 0.0
        self._timeout_s = CALL_S + task.interval_s + 2.0 * waits
        request = pb.CreateSessionRequest(task=convert.task_to_message(task), backend=pb.BACKEND_KUBERNETES)
        session = service("CreateSession", request, self._timeout_s)
        self._id, self._info_keys = session.session_id, tuple(session.info_keys)
        self._last: tuple[Floats, Bools]

    @property
    def spec(self) -> EnvSpec:
        """Shapes of the task's environment."""
        return env_spec(self.task)

    def reset(self, seeds: NDArray[np.uint64]) -> tuple[Floats, Bools]:
        """Bring the deployments to their initial replicas and let an interval pass."""
        request = pb.ResetSessionRequest(session_id=self._id, seed=int(seeds[0]))
        return self._seen(self._service("ResetSession", request, self._timeout_s).transition)

    def reset_where(self, which: Bools, seeds: NDArray[np.uint64]) -> tuple[Floats, Bools]:
        """What the step before saw: a session's step after an episode's end is itself the reset."""
        return self._last

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]:
        """One control interval of the cluster."""
        if self._stop():
            raise CollectionStopped("the run must stop")
        request = pb.StepSessionRequest(session_id=self._id, action=tensor_to_proto(action), with_info=True)
        seen = self._service("StepSession", request, self._timeout_s).transition
        reward, terminated, truncated = (_array(x) for x in (seen.reward, seen.terminated, seen.truncated))
        info = dict(zip(self._info_keys, _array(seen.info), strict=True))
        return *self._seen(seen), reward, terminated, truncated, info

    def close(self) -> None:
        """End the session; a service that is gone has no session to end."""
        with suppress(LwmecpsError):
            self._service("CloseSession", pb.CloseSessionRequest(session_id=self._id), self._timeout_s)

    def _seen(self, transition: pb.Transition) -> tuple[Floats, Bools]:
        self._last = _array(transition.observation), _array(transition.mask)
        return self._last


class SessionCollector:
    """A `RunCollector` that acts on real clusters itself: no queue, because no other worker could do it again.

    The session stays open between the collections of a run, so that nobody else takes the cluster meanwhile. The
    results are no pure function of the arguments: seeds decide how the policy explores, not what the cluster does.
    """

    def __init__(self, service: EnvService, stop: Callable[[], bool]) -> None:
        self._service, self._stop = service, stop
        self._env: SessionEnv | None = None

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`; task after task, episode after episode."""
        return [
            self._episodes(
                self._on(task),
                take_tasks(snapshot, k, k + 1),
                replace(plan, seeds=(plan.seeds[k],), held=plan.held[k : k + 1]),
            )
            for k, task in enumerate(tasks)
        ]

    def ledger(self) -> None:
        """Nothing travels, so nothing is counted."""

    def resume(self, ledger: Ledger) -> None:
        """Nothing is counted."""

    def commit(self) -> None:
        """Nothing is kept that a checkpoint could free."""

    def close(self, *, ended: bool) -> None:
        """Let go of the cluster."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _on(self, task: TaskSpec) -> SessionEnv:
        if self._env is None or self._env.task != task:
            self.close(ended=False)
            self._env = SessionEnv(self._service, task, self._stop)
        return self._env

    def _episodes(self, env: SessionEnv, snapshot: PolicySnapshot, plan: CollectionPlan) -> RolloutBatch:
        (seed,) = plan.seeds
        return replace(
            concatenate(
                [
                    batch
                    for episode in seeds(seed, "episodes", plan.episodes)
                    for batch in drive(env, (env.task,), snapshot, replace(plan, seeds=(episode,), episodes=1))
                ]
            ),
            seed=seed,
        )


def _array(message: tensor_pb2.Tensor) -> Any:
    """A message's array, writable as PyTorch wants it."""
    return tensor_from_proto(message).copy()
