"""`LearnerService`: starts runs, follows them, and acts with stored policies.

Runs are created in the registry, so that any learner may take them; this one looks for them at once. What the field
rules of the proto can't say about a request is checked here, before a run exists.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import grpc

from lwmecps_core import algorithms, baselines, fits
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput, NotFound, Violation
from lwmecps_core.idle import check_tasks, check_training
from lwmecps_core.meta import learnt_optimiser
from lwmecps_core.policy import blind_to_later
from lwmecps_core.rollout.deciding import Before
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.run_config import AdaptConfig, AlgorithmConfig, EvaluateConfig, TrainConfig, TransferConfig
from lwmecps_core.specs import EnvSpec, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.sources import check_source
from lwmecps_core.transfer.domain import check_origin
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from protos.lwmecps.learner.v1.learner_pb2_grpc import LearnerServiceServicer
from protos.lwmecps.registry.v1 import policy_pb2, registry_pb2, run_pb2
from services.common import convert
from services.common.run_spec import RunSpec
from services.learner_service.acting import LoadedPolicies
from services.learner_service.backends import backend_of, check_backend
from services.learner_service.nearest import KnownClusters
from services.learner_service.profiles import Profiles
from services.learner_service.registry_client import RegistryClient
from services.learner_service.run_logs import RunLogs

NO_DEADLINE_S = 1e8
WAITING = 16


class LearnerRpc(LearnerServiceServicer):
    """The servicer; `run_created` is called after a run was created."""

    def __init__(
        self,
        registry: RegistryClient,
        policies: LoadedPolicies,
        run_created: Callable[[], None],
        profiles: Profiles | None = None,
        logs: RunLogs | None = None,
    ) -> None:
        self._registry, self._policies, self._run_created = registry, policies, run_created
        self._profiles, self._logs, self._known = profiles, logs or RunLogs(), KnownClusters(registry)

    def StartTraining(self, request: pb.StartTrainingRequest, context: grpc.ServicerContext) -> Any:
        """Start training from nothing, or from a stored policy's weights."""
        return pb.StartTrainingResponse(run=self._start(request, context))

    def StartMetaTraining(self, request: pb.StartMetaTrainingRequest, context: grpc.ServicerContext) -> Any:
        """Start meta-training."""
        return pb.StartMetaTrainingResponse(run=self._start(request, context))

    def StartTransfer(self, request: pb.StartTransferRequest, context: grpc.ServicerContext) -> Any:
        """Start training a stored policy on other tasks."""
        return pb.StartTransferResponse(run=self._start(request, context))

    def StartAdaptation(self, request: pb.StartAdaptationRequest, context: grpc.ServicerContext) -> Any:
        """Start adapting a stored policy."""
        return pb.StartAdaptationResponse(run=self._start(request, context))

    def StartEvaluation(self, request: pb.StartEvaluationRequest, context: grpc.ServicerContext) -> Any:
        """Start measuring a stored policy or a baseline."""
        return pb.StartEvaluationResponse(run=self._start(request, context))

    def StartContinual(self, request: pb.StartContinualRequest, context: grpc.ServicerContext) -> Any:
        """Start training a stored policy on clusters one after another."""
        return pb.StartContinualResponse(run=self._start(request, context))

    def WatchProgress(
        self, request: pb.WatchProgressRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchProgressResponse]:
        """Pass on what the registry says about a run, until it has ended or the caller leaves."""
        asked = registry_pb2.WatchRunRequest(run_id=request.run_id)
        if request.HasField("after_step"):
            asked.after_step = request.after_step
        news: Any = self._registry.stub.WatchRun(asked, timeout=_left_s(context))
        for item in _follow(news, context):
            yield pb.WatchProgressResponse(run=item.run, metrics=item.metrics, rows=item.rows)

    def GetResults(self, request: pb.GetResultsRequest, context: grpc.ServicerContext) -> pb.GetResultsResponse:
        """A run with its policy, one page of its rows, and its newest trace."""
        stub, call = self._registry.stub, self._registry.call
        run_id, left_s = request.run_id, _left_s(context)
        run = call(stub.GetRun, registry_pb2.GetRunRequest(run_id=run_id), left_s).run
        page = registry_pb2.ListRunRowsRequest(
            run_id=run_id, page_size=request.page_size, page_token=request.page_token
        )
        rows = call(stub.ListRunRows, page, left_s)
        results = pb.GetResultsResponse(run=run, rows=rows.rows, next_page_token=rows.next_page_token)
        if run.result_policy_id:
            wanted = registry_pb2.GetPolicyRequest(policy_id=run.result_policy_id)
            results.policy.CopyFrom(call(stub.GetPolicy, wanted, left_s).policy)
        trace = self._newest_trace(run_id, left_s)
        if trace is not None:
            results.trace.CopyFrom(trace)
        return results

    def GetProfile(self, request: pb.GetProfileRequest, context: grpc.ServicerContext) -> pb.GetProfileResponse:
        """Where the time of a run went that this learner worked on."""
        if self._profiles is None:
            raise NotFound("profile", request.run_id)
        file, content, lines = self._profiles.read(request.run_id)
        told = [pb.ProfileLine(function=x.function, calls=x.calls, own_s=x.own_s, total_s=x.total_s) for x in lines]
        return pb.GetProfileResponse(file=file, content=content, lines=told)

    def GetRunLog(self, request: pb.GetRunLogRequest, context: grpc.ServicerContext) -> pb.GetRunLogResponse:
        """The last lines that this learner has logged about a run; none of one that another learner works on."""
        lines = self._logs.read(request.run_id)
        if not lines:  # of a run that nobody knows that is an error
            self._registry.call(
                self._registry.stub.GetRun, registry_pb2.GetRunRequest(run_id=request.run_id), _left_s(context)
            )
        return pb.GetRunLogResponse(lines=lines)

    def Act(self, request: pb.ActRequest, context: grpc.ServicerContext) -> pb.ActResponse:
        """Choose actions."""
        obs = tensor_from_proto(request.observation, "observation")
        mask = tensor_from_proto(request.mask, "mask") if request.HasField("mask") else None
        spec = convert.env_spec_from_message(request.env_spec) if request.HasField("env_spec") else None
        greedy, before = not request.sample, _before(request)
        acted = self._policies.act(request.policy_id, obs, mask, spec, greedy=greedy, seed=request.seed, before=before)
        kept = {name: tensor_to_proto(x) for name, x in acted.memory.items()}
        return pb.ActResponse(action=tensor_to_proto(acted.action), memory=kept)

    def GetNearestContexts(
        self, request: pb.GetNearestContextsRequest, context: grpc.ServicerContext
    ) -> pb.GetNearestContextsResponse:
        """The known clusters that one is most like."""
        return self._known.nearest(request, _left_s(context))

    def _start(self, request: Any, context: grpc.ServicerContext) -> run_pb2.Run:
        spec = run_spec(convert.kind_of_request(request), request)
        self._check(convert.run_spec_from_message(spec))
        asked = registry_pb2.CreateRunRequest(
            spec=spec, labels=request.labels, request_id=request.request_id, paused=request.paused
        )
        run = self._registry.call(self._registry.stub.CreateRun, asked, _left_s(context)).run
        self._run_created()
        return run

    def _check(self, spec: RunSpec) -> None:
        """Refuse now what would make the run fail later: unknown ids, tasks and policies that don't fit together."""
        tasks = [self._registry.get_task(task_id) for task_id in spec.task_ids]
        check_source(spec.kind, tasks, spec.num_tasks)
        for task_id in spec.calibration_task_ids:
            self._registry.get_task(task_id)
        origin = [self._registry.get_task(task_id) for task_id in spec.source_task_ids]
        settings = spec.settings
        if isinstance(settings, TransferConfig):
            check_origin(settings, origin, tasks[0].env_id)
        if spec.learns_by:
            algorithms.from_nothing(spec.learns_by, _env_spec(tasks[0]))
            if isinstance(settings, TrainConfig):
                check_training(spec.learns_by, settings)
                check_tasks(settings, tasks)
        check_backend(backend_of(settings), tasks)
        if isinstance(settings, EvaluateConfig) and settings.baseline:
            _check_baseline(settings.baseline)
        if isinstance(settings, AdaptConfig) and settings.optimiser is not None:
            learnt_optimiser.from_bytes(settings.optimiser, "settings")
        if spec.policy_id:
            _check_fits(self._registry.get_policy(spec.policy_id), [*tasks, *origin], spec.learns_by)

    def _newest_trace(self, run_id: str, left_s: float | None) -> run_pb2.Trace | None:
        newest, token = None, ""
        while True:
            page = registry_pb2.ListRunTracesRequest(run_id=run_id, page_size=1000, page_token=token)
            answer = self._registry.call(self._registry.stub.ListRunTraces, page, left_s)
            newest = answer.traces[-1] if answer.traces else newest
            token = answer.next_page_token
            if not token:
                return newest


def run_spec(kind: str, request: Any) -> run_pb2.RunSpec:
    """The run that a `Start…Request` asks for: both messages name their fields alike."""
    spec = run_pb2.RunSpec()
    settings = getattr(spec, kind)
    settings.SetInParent()
    settings.MergeFrom(request.settings)
    for field, value in request.ListFields():
        if field.name in ("settings", "labels", "request_id", "paused"):
            continue
        if field.is_repeated:
            getattr(spec, field.name).extend(value)
        elif field.message_type is not None:
            getattr(spec, field.name).CopyFrom(value)
        else:
            setattr(spec, field.name, value)
    return spec


def _before(request: pb.ActRequest) -> Before:
    """What an `ActRequest` says about the interval before."""

    def told(field: str) -> Any:
        return tensor_from_proto(getattr(request, field), field) if request.HasField(field) else None

    memory = {name: tensor_from_proto(x, f"memory[{name}]") for name, x in request.memory.items()}
    return Before(memory, told("reward_terms"), told("previous_action"), told("first"))


def _left_s(context: grpc.ServicerContext) -> float | None:
    """What the caller leaves us of its deadline; None without one (for which gRPC says some 300 years)."""
    left_s = context.time_remaining()
    return left_s if left_s is not None and left_s < NO_DEADLINE_S else None


def _follow(news: Any, context: grpc.ServicerContext) -> Iterator[Any]:
    """Messages of another service's stream until it ends, the caller leaves or this server drains.

    At most `WAITING` messages wait here for a slow caller; the others wait at their source.
    """
    items: queue.Queue[Any] = queue.Queue(WAITING)
    left = threading.Event()

    def put(item: Any) -> None:
        while not left.is_set():
            with suppress(queue.Full):
                items.put(item, timeout=0.5)
                return

    def pump() -> None:
        try:
            for item in news:
                put(item)
            put(None)
        except grpc.RpcError as error:
            put(error)

    threading.Thread(target=pump, name="watch", daemon=True).start()
    try:
        while context.is_active():
            try:
                item = items.get(timeout=0.5)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, grpc.RpcError):
                raise item
            yield item
    finally:
        left.set()
        news.cancel()


def _env_spec(item: TaskSpec | TaskDistribution) -> EnvSpec:
    """What an algorithm must know about a task, or about every task that a distribution draws."""
    return env_spec(draw(item, 0) if isinstance(item, TaskDistribution) else item)


def _check_fits(
    policy: policy_pb2.Policy, items: Sequence[TaskSpec | TaskDistribution], goes_on_by: AlgorithmConfig | None
) -> None:
    algorithm = convert.algorithm_from_message(policy.algorithm, f"policy {policy.id}")
    made_for = convert.env_spec_from_message(policy.env_spec, f"policy {policy.id}")
    algorithm = blind_to_later(algorithm, made_for)
    for item in dict.fromkeys(items):
        fits.bound_by_record(algorithm, made_for, _env_spec(item), "request", "policy_id")
        if goes_on_by:
            fits.check_goes_on(algorithm, made_for, goes_on_by, _env_spec(item), "request")


def _check_baseline(baseline: str) -> None:
    if baseline not in baselines.REGISTRY:
        known = ", ".join(sorted(baselines.REGISTRY))
        raise InvalidInput(
            "request", [Violation("settings.baseline", f"unknown baseline {baseline!r}; one of {known}")]
        )
