"""EnvService: sessions on simulated clusters, step by step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.tensor_codec import tensor_from_proto
from lwmecps_core.run_config import Backend
from lwmecps_core.specs import ALL_ENV_IDS, CONTINUOUS_SUFFIX, TaskSpec
from protos.lwmecps.env.v1 import env_pb2 as pb
from protos.lwmecps.env.v1 import env_pb2_grpc
from services.common import convert
from services.env_service.backends import backend_task, check_size, open_session
from services.env_service.messages import ActionReader, FrameWriter, state_message
from services.env_service.session import SimulatedSession
from services.env_service.sessions import SessionTable
from services.env_service.settings import EnvServiceSettings

if TYPE_CHECKING:
    from services.env_service.cluster_session import ClusterSession

DESCRIPTIONS = {
    "lwmecps-v1": "Scale one deployment: a replica less, as many, or one more.",
    "lwmecps-v2": "Choose the node for one pod after the other.",
    "lwmecps-v3": "Choose the replicas of every deployment, each pinned to its base station.",
    "lwmecps-v4": "Choose the replicas of every deployment on every node: place, scale and move at once.",
}
PAGE_SIZE = 100


@dataclass(frozen=True)
class OpenSession:
    """A session and what its steps need."""

    session: "SimulatedSession | ClusterSession"
    actions: ActionReader
    frames: FrameWriter

    def close(self) -> None:
        """End the session."""
        self.session.close()


class EnvServicer(env_pb2_grpc.EnvServiceServicer):
    """The RPCs of `env.proto`; `workers` tells what this process's collection workers are doing."""

    def __init__(
        self,
        sessions: SessionTable[OpenSession],
        settings: EnvServiceSettings,
        workers: Callable[[], Sequence[pb.WorkerStatus]],
    ) -> None:
        self._sessions, self._settings, self._workers = sessions, settings, workers

    def ListEnvironments(self, request: pb.ListEnvironmentsRequest, context: Any) -> pb.ListEnvironmentsResponse:
        start = _offset(request.page_token)
        stop = start + (request.page_size or PAGE_SIZE)
        return pb.ListEnvironmentsResponse(
            environments=[_environment(env_id) for env_id in ALL_ENV_IDS[start:stop]],
            next_page_token=str(stop) if stop < len(ALL_ENV_IDS) else "",
        )

    def CreateSession(self, request: pb.CreateSessionRequest, context: Any) -> pb.CreateSessionResponse:
        task = convert.task_from_message(request.task)
        backend = convert.backend_from_message(request.backend)
        task = backend_task(backend, request.profile, task, self._settings.profiles_root)
        size = request.num_envs or 1
        numbers = check_size(task, size, self._settings.max_session_numbers)
        session_id = self._sessions.open(lambda: _open(backend, task, size, request.seed), numbers)
        with self._sessions.use(session_id) as opened:
            return pb.CreateSessionResponse(
                session_id=session_id,
                env_spec=convert.env_spec_to_message(opened.session.spec),
                num_envs=size,
                info_keys=INFO_KEYS,
            )

    def ResetSession(self, request: pb.ResetSessionRequest, context: Any) -> pb.ResetSessionResponse:
        response = pb.ResetSessionResponse()
        with self._sessions.use(request.session_id) as opened:
            _reset(opened, request, request.with_info, response.transition)
        return response

    def StepSession(self, request: pb.StepSessionRequest, context: Any) -> pb.StepSessionResponse:
        response = pb.StepSessionResponse()
        with self._sessions.use(request.session_id) as opened:
            _step(opened, request.action, request.with_info, response.transition)
        return response

    def CloseSession(self, request: pb.CloseSessionRequest, context: Any) -> pb.CloseSessionResponse:
        self._sessions.close(request.session_id)
        return pb.CloseSessionResponse()

    def StepStream(
        self, request_iterator: Iterator[pb.StepStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StepStreamResponse]:
        session_id = ""
        for request in request_iterator:
            if not context.is_active():
                return
            session_id = session_id or request.session_id
            if not session_id:
                raise InvalidInput("request", [Violation("session_id", "is required in a stream's first message")])
            response = pb.StepStreamResponse()
            with self._sessions.use(session_id) as opened:
                if request.HasField("reset"):
                    _reset(opened, request.reset, request.with_info, response.transition)
                else:
                    _step(opened, request.action, request.with_info, response.transition)
            yield response

    def GetClusterState(self, request: pb.GetClusterStateRequest, context: Any) -> pb.GetClusterStateResponse:
        with self._sessions.use(request.session_id) as opened:
            return pb.GetClusterStateResponse(state=state_message(opened.session.view(request.env_index)))

    def ApplyPlacement(self, request: pb.ApplyPlacementRequest, context: Any) -> pb.ApplyPlacementResponse:
        replicas = tensor_from_proto(request.placement.replicas, "placement.replicas")
        with self._sessions.use(request.session_id) as opened:
            return pb.ApplyPlacementResponse(state=state_message(opened.session.place(request.env_index, replicas)))

    def GetWorkerStatus(self, request: pb.GetWorkerStatusRequest, context: Any) -> pb.GetWorkerStatusResponse:
        return pb.GetWorkerStatusResponse(workers=self._workers())


def _open(backend: Backend, task: TaskSpec, size: int, seed: int) -> OpenSession:
    session = open_session(backend, task, size, seed)
    return OpenSession(session, ActionReader(session.spec, size), FrameWriter(session.spec, size))


def _reset(opened: OpenSession, request: Any, with_info: bool, target: pb.Transition) -> None:
    seed = request.seed if request.HasField("seed") else None
    opened.frames.write(opened.session.reset(seed), with_info, target)


def _step(opened: OpenSession, action: Any, with_info: bool, target: pb.Transition) -> None:
    opened.session.require_running()
    opened.frames.write(opened.session.step(opened.actions.read(action)), with_info, target)


def _environment(env_id: str) -> pb.Environment:
    version = env_id.removesuffix(CONTINUOUS_SUFFIX)
    return pb.Environment(id=env_id, description=DESCRIPTIONS[version], continuous=env_id != version)


def _offset(token: str) -> int:
    if not token:
        return 0
    if not token.isdecimal() or len(token) > 9:
        raise InvalidInput("request", [Violation("page_token", "is not one that this service gave out")])
    return int(token)
