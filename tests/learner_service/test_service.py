"""A learner and a registry over real gRPC."""

import hashlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.envs.vector import env_spec
from lwmecps_core.policy import PolicyData
from lwmecps_core.results import Row
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.run_config import DiscoConfig, DQNConfig, PPOConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.progress import LoopState, Progress
from protos.lwmecps.common.v1 import settings_pb2
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from protos.lwmecps.registry.v1 import policy_pb2, registry_pb2, run_pb2
from services.common import convert
from services.common.errors import from_rpc_error

from .conftest import Learner, Registry
from .fakes import summing_loop, task, wait_until

SPEC = env_spec(task())
MOST_STEPS = 2
"""Of 20 ms each: the one in hand, and one whose report crossed the request. Counted, for disks may take a second."""


def _policy() -> PolicyData:
    config = PPOConfig()
    params, extra = algorithms.make(config, SPEC).init(torch.Generator().manual_seed(1))
    return PolicyData(config, SPEC, params, extra)


def _learning_loop(x: Any) -> Any:
    """One step that leaves a policy, a row and a trace."""
    row = Row("one", "", 0, -3.0, 50.0, 90.0, 4.0, 0.0, 0.1, 0.9)
    trace = {"users": (1.0, 2.0)}
    yield Progress(1, 1, {"loss": 0.5}, LoopState(1, {}), _policy(), (row,), trace)


def _refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), str(from_rpc_error(caught.value))


def test_a_started_run_is_trained_watched_and_acted_with(
    registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    learner = start_learner(_learning_loop)
    request = pb.StartTrainingRequest(label="mine", task_ids=[registry.create_task()], seed=7, request_id="once")
    run = learner.stub.StartTraining(request).run
    assert learner.stub.StartTraining(request).run.id == run.id, "the same request_id starts no second run"

    news = list(learner.stub.WatchProgress(pb.WatchProgressRequest(run_id=run.id), timeout=20))
    assert news[-1].run.state == run_pb2.RUN_STATE_COMPLETED
    assert [(m.name, m.step, m.value) for n in news for m in n.metrics] == [("loss", 1, 0.5)]

    results = learner.stub.GetResults(pb.GetResultsRequest(run_id=run.id))
    assert [(r.method, r.reward) for r in results.rows] == [("mine", -3.0)]
    assert tensor_from_proto(results.trace.series["users"]).tolist() == [1.0, 2.0]
    assert (results.policy.name, results.policy.run_id) == ("mine", run.id)

    obs = np.zeros((5, SPEC.obs_size), np.float32)
    answer = learner.stub.Act(pb.ActRequest(policy_id=results.policy.id, observation=tensor_to_proto(obs)))
    assert tensor_from_proto(answer.action).shape == (5, SPEC.action_size)


def test_a_wrong_observation_is_refused_with_its_field(
    registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    learner = start_learner(_learning_loop)
    run = learner.stub.StartTraining(pb.StartTrainingRequest(task_ids=[registry.create_task()])).run
    policy_id = registry.wait(run.id, "COMPLETED").result_policy_id
    wrong = tensor_to_proto(np.zeros((2, 99), np.float32))
    code, text = _refusal(lambda: learner.stub.Act(pb.ActRequest(policy_id=policy_id, observation=wrong)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "observation: must be float32" in text


def test_missing_weights_are_named(registry: Registry, start_learner: Callable[..., Learner]) -> None:
    learner = start_learner(_learning_loop)
    run = learner.stub.StartTraining(pb.StartTrainingRequest(task_ids=[registry.create_task()])).run
    policy_id = registry.wait(run.id, "COMPLETED").result_policy_id
    for file in registry.artefacts.rglob("*"):
        if file.is_file():
            file.unlink()
    obs = tensor_to_proto(np.zeros((1, SPEC.obs_size), np.float32))
    code, text = _refusal(lambda: learner.stub.Act(pb.ActRequest(policy_id=policy_id, observation=obs)))
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, f"Model file not found: {policy_id}")


@pytest.mark.parametrize(
    ("start", "code", "text"),
    [
        (
            lambda s, t: s.StartTraining(pb.StartTrainingRequest(task_ids=["nowhere"])),
            grpc.StatusCode.NOT_FOUND,
            "task not found: nowhere",
        ),
        (
            lambda s, t: s.StartAdaptation(pb.StartAdaptationRequest(task_ids=[t], policy_id="gone")),
            grpc.StatusCode.NOT_FOUND,
            "policy not found: gone",
        ),
        (
            lambda s, t: s.StartAdaptation(
                pb.StartAdaptationRequest(task_ids=[t], policy_id="p", settings={"optimiser": b"x"})
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "optimiser: not a file of an optimiser",
        ),
        (
            lambda s, t: s.StartEvaluation(pb.StartEvaluationRequest(task_ids=[t])),
            grpc.StatusCode.INVALID_ARGUMENT,
            "give either a policy or settings.baseline",
        ),
        (
            lambda s, t: s.StartEvaluation(pb.StartEvaluationRequest(task_ids=[t], settings={"baseline": "magic"})),
            grpc.StatusCode.INVALID_ARGUMENT,
            "unknown baseline 'magic'",
        ),
        (
            lambda s, t: s.StartMetaTraining(pb.StartMetaTrainingRequest(task_ids=[t], num_tasks=3)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "num_tasks: must be 0",
        ),
        (lambda s, t: s.StartTraining(pb.StartTrainingRequest()), grpc.StatusCode.INVALID_ARGUMENT, "task_ids"),
        (
            lambda s, t: next(s.WatchProgress(pb.WatchProgressRequest(run_id="gone"))),
            grpc.StatusCode.NOT_FOUND,
            "run not found: gone",
        ),
        (
            lambda s, t: s.GetResults(pb.GetResultsRequest(run_id="gone")),
            grpc.StatusCode.NOT_FOUND,
            "run not found: gone",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_a_run_exists(
    registry: Registry,
    start_learner: Callable[..., Learner],
    start: Callable[[Any, str], Any],
    code: grpc.StatusCode,
    text: str,
) -> None:
    learner, task_id = start_learner(_learning_loop), registry.create_task()
    found = _refusal(lambda: start(learner.stub, task_id))
    assert found[0] is code
    assert text in found[1]
    assert not registry.stub.ListRuns(registry_pb2.ListRunsRequest()).runs


def test_a_policy_made_for_another_environment_is_refused(
    registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    learner = start_learner(_learning_loop)
    run = learner.stub.StartTraining(pb.StartTrainingRequest(task_ids=[registry.create_task()])).run
    policy_id = registry.wait(run.id, "COMPLETED").result_policy_id
    city = convert.distribution_to_message(TaskDistribution(env_id="lwmecps-v3"))
    city_id = registry.stub.CreateTask(registry_pb2.CreateTaskRequest(distribution=city)).task.id
    request = pb.StartTransferRequest(task_ids=[city_id], policy_id=policy_id)
    code, text = _refusal(lambda: learner.stub.StartTransfer(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "policy_id: the version of the environment is another: the policy was made for lwmecps-v1 (" in text
    assert "can't act in lwmecps-v3 (" in text


def test_a_policy_made_for_a_cluster_of_another_size_is_refused_before_a_run_exists(
    registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    """An MLP; nobody needs its weights to know that. A set network moves."""

    def tried(network: str) -> run_pb2.Run:
        spec = env_spec(draw(TaskDistribution(nodes=2), 0))
        stored = registry_pb2.CreatePolicyRequest(
            name=network,
            algorithm=convert.algorithm_to_message(PPOConfig(network=network)),  # type: ignore[arg-type]
            env_spec=convert.env_spec_to_message(spec),
        )
        policy_id = registry.stub.CreatePolicy(stored).policy.id
        data = b"weights"
        artefact = policy_pb2.ArtefactHeader(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        header = registry_pb2.PolicyWeightsHeader(policy_id=policy_id, artefact=artefact)
        parts = [registry_pb2.UploadPolicyWeightsRequest(header=header)]
        registry.stub.UploadPolicyWeights(iter([*parts, registry_pb2.UploadPolicyWeightsRequest(chunk=data)]))
        request = pb.StartAdaptationRequest(task_ids=[city_id], num_tasks=2, policy_id=policy_id)
        return learner.stub.StartAdaptation(request).run

    learner = start_learner(_learning_loop)
    city = convert.distribution_to_message(TaskDistribution(nodes=4, deployments=3))
    city_id = registry.stub.CreateTask(registry_pb2.CreateTaskRequest(distribution=city)).task.id
    code, text = _refusal(lambda: tried("mlp"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "policy_id: only set networks" in text and "the policy was made for" in text
    assert not registry.stub.ListRuns(registry_pb2.ListRunsRequest()).runs
    assert tried("set").id


def test_domain_adaptation_needs_source_tasks_that_fit_and_its_loop_gets_them(
    registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    origins: list[Any] = []

    def loop(x: Any) -> Any:
        origins.append(x.origin)
        return _learning_loop(x)

    learner, task_id = start_learner(loop), registry.create_task()
    run = learner.stub.StartTraining(pb.StartTrainingRequest(task_ids=[task_id])).run
    policy_id = registry.wait(run.id, "COMPLETED").result_policy_id
    city = convert.distribution_to_message(TaskDistribution(env_id="lwmecps-v3"))
    city_id = registry.stub.CreateTask(registry_pb2.CreateTaskRequest(distribution=city)).task.id
    settings = {"method": settings_pb2.TRANSFER_METHOD_DOMAIN_ADAPTATION}

    def transfer(*origin: str) -> run_pb2.Run:
        request = pb.StartTransferRequest(
            task_ids=[task_id], policy_id=policy_id, settings=settings, source_task_ids=origin
        )
        return learner.stub.StartTransfer(request).run

    reasons = {(): "domain_adaptation needs source tasks", (city_id,): "must be of the target's environment"}
    for origin, reason in reasons.items():
        code, text = _refusal(lambda origin=origin: transfer(*origin))  # type: ignore[misc]
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert f"source_task_ids: {reason}" in text
    run = transfer(task_id)
    registry.wait(run.id, "COMPLETED")
    assert list(run.spec.source_task_ids) == [task_id]
    assert [len(origin) for origin in origins] == [0, 1], "the loop gets the source tasks"


def test_an_algorithm_that_cannot_act_in_the_environment_is_refused(
    registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    city = convert.distribution_to_message(TaskDistribution(env_id="lwmecps-v3-continuous"))
    city_id = registry.stub.CreateTask(registry_pb2.CreateTaskRequest(distribution=city)).task.id
    dqn = convert.algorithm_to_message(DQNConfig())
    stub = start_learner(_learning_loop).stub
    code, text = _refusal(lambda: stub.StartTraining(pb.StartTrainingRequest(task_ids=[city_id], algorithm=dqn)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "dqn needs discrete actions" in text


def test_settings_of_a_training_that_cannot_be_together_are_refused_before_it_begins(
    registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    task_id, stub = registry.create_task(), start_learner(_learning_loop).stub
    dqn = convert.algorithm_to_message(DQNConfig())
    for settings, reason in (
        ({"entropy_share": 0.5}, "entropy_share: is of PPO's entropy bonus; dqn has none"),
        ({"independent": True, "collections_per_task": 2}, "collections_per_task: is of one policy for changing tasks"),
        ({"bound_spread": 2.0}, "bound_spread: is for tasks with bounds (objective.slo)"),
    ):
        asked = pb.StartTrainingRequest(task_ids=[task_id], algorithm=dqn, settings=settings)
        code, text = _refusal(partial(stub.StartTraining, asked))
        assert code is grpc.StatusCode.INVALID_ARGUMENT and reason in text
    asked = pb.StartTrainingRequest(task_ids=[task_id], settings={"entropy_share": 0.5})
    registry.wait(stub.StartTraining(asked).run.id, "COMPLETED")  # PPO has one


def test_a_rule_that_is_missing_or_none_is_refused_before_a_run_begins(
    registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    city = convert.distribution_to_message(TaskDistribution())
    city_id = registry.stub.CreateTask(registry_pb2.CreateTaskRequest(distribution=city)).task.id
    stub = start_learner(_learning_loop).stub
    for given, reason in (
        (DiscoConfig(), "rule: disco learns by a rule"),
        (DiscoConfig(rule=b"x"), "rule: not the file"),
    ):
        asked = pb.StartTrainingRequest(task_ids=[city_id], algorithm=convert.algorithm_to_message(given))
        code, text = _refusal(partial(stub.StartTraining, asked))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert reason in text


def _slow(total: int = 60) -> Any:
    return summing_loop(total, after_step=lambda _: time.sleep(0.02))


def test_a_run_paused_and_resumed_by_people_ends_like_an_undisturbed_one(
    registry: Registry, start_learner: Callable[..., Learner], undisturbed: Callable[[int], dict[int, float]]
) -> None:
    start_learner(_slow())
    run_id = registry.create_run(registry.create_task())
    wait_until(lambda: registry.run(run_id).step >= 3)
    registry.stub.PauseRun(registry_pb2.PauseRunRequest(run_id=run_id))
    asked_at = registry.run(run_id).step
    paused_at = registry.wait(run_id, "PAUSED").step
    assert paused_at - asked_at <= MOST_STEPS
    time.sleep(0.3)
    assert registry.run(run_id).step == paused_at < 60
    registry.stub.ResumeRun(registry_pb2.ResumeRunRequest(run_id=run_id))
    registry.wait(run_id, "COMPLETED")
    assert registry.losses(run_id) == undisturbed(60)


def test_a_cancelled_run_stops_at_its_next_step(registry: Registry, start_learner: Callable[..., Learner]) -> None:
    start_learner(_slow(10_000))
    run_id = registry.create_run(registry.create_task())
    wait_until(lambda: registry.run(run_id).step >= 3)
    registry.stub.CancelRun(registry_pb2.CancelRunRequest(run_id=run_id))
    asked_at = registry.run(run_id).step
    run = registry.wait(run_id, "CANCELLED")
    assert run.result_policy_id == ""
    assert run.step - asked_at <= MOST_STEPS


def test_a_registry_that_comes_back_finds_the_run_going_on(
    registry: Registry, start_learner: Callable[..., Learner], undisturbed: Callable[[int], dict[int, float]]
) -> None:
    start_learner(_slow())
    run_id = registry.create_run(registry.create_task())
    wait_until(lambda: registry.run(run_id).step >= 3)
    registry.stop()
    time.sleep(0.5)
    registry.restart()
    run = registry.wait(run_id, "COMPLETED", timeout_s=30)
    assert run.error == ""
    assert registry.losses(run_id) == undisturbed(60)


def test_calls_are_refused_at_once_while_the_registry_is_away(
    registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    learner, task_id = start_learner(_learning_loop), registry.create_task()
    registry.stop()
    began = time.monotonic()
    obs = tensor_to_proto(np.zeros((1, SPEC.obs_size), np.float32))
    for call in (
        lambda: learner.stub.StartTraining(pb.StartTrainingRequest(task_ids=[task_id])),
        lambda: learner.stub.Act(pb.ActRequest(policy_id="p", observation=obs)),
    ):
        code, text = _refusal(call)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert registry.address in text
    assert time.monotonic() - began < 40
    registry.restart()


def test_a_failed_run_says_why_in_one_line(registry: Registry, start_learner: Callable[..., Learner]) -> None:
    def loop(x: Any) -> Any:
        raise ZeroDivisionError("division\nby zero")
        yield

    start_learner(loop)
    run_id = registry.create_run(registry.create_task())
    assert registry.wait(run_id, "FAILED").error == "ZeroDivisionError: division by zero"


def test_watching_ends_when_the_learner_drains(registry: Registry, start_learner: Callable[..., Learner]) -> None:
    learner = start_learner(_slow(10_000))
    run_id = registry.create_run(registry.create_task())
    ended = threading.Event()

    def watch() -> None:
        try:
            for _ in learner.stub.WatchProgress(pb.WatchProgressRequest(run_id=run_id)):
                pass
        except grpc.RpcError:
            ended.set()

    threading.Thread(target=watch, daemon=True).start()
    wait_until(lambda: registry.run(run_id).step >= 3)
    learner.server.drain(5.0)
    assert ended.wait(2.0)
