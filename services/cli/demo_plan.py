"""The demo's runs, which wait for what, and following all of them at once."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lwmecps_core.results import Row
from lwmecps_core.run_config import AdaptConfig, EvaluateConfig
from protos.lwmecps.common.v1 import settings_pb2
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from services.cli import render
from services.cli.clients import Clients, start
from services.cli.demo_settings import BASELINES, DemoSettings
from services.cli.following import check_completed, results
from services.common import convert

POLL_S = 0.5


@dataclass(frozen=True)
class Problem:
    """Ids of the registered distributions, and which held-out tasks are drawn: `tasks` of them, by `seed`."""

    training_id: str
    held_out_id: str
    tasks: int
    seed: int


@dataclass(frozen=True)
class Step:
    """A run of the demo, asked for by `request(policy ids of the steps before)` when the steps `after` have ended."""

    name: str
    request: Callable[[Mapping[str, str]], Any]
    after: tuple[str, ...] = ()


def meta_training(training_id: str, seed: int, settings: DemoSettings) -> Step:
    """The run that learns how to adapt."""
    request = pb.StartMetaTrainingRequest(
        label="meta",
        algorithm=convert.algorithm_to_message(settings.algorithm),
        settings=convert.to_message(settings.meta, settings_pb2.MetaConfig),
        task_ids=[training_id],
        seed=seed,
    )
    return Step("meta_train", lambda _: request)


def adaptation_to(task_id: str, seed: int, config: AdaptConfig) -> Step:
    """Adaptation of the meta-trained policy to one task."""
    message = convert.to_message(config, settings_pb2.AdaptConfig)

    def request(policies: Mapping[str, str]) -> pb.StartAdaptationRequest:
        return pb.StartAdaptationRequest(
            label="adapted", policy_id=policies["meta_train"], settings=message, task_ids=[task_id], seed=seed
        )

    return Step("adapted", request, ("meta_train",))


def plan(problem: Problem, settings: DemoSettings) -> list[Step]:
    """All runs, the longest chain (meta-training, then adaptation) first."""
    held_out: dict[str, Any] = {
        "task_ids": [problem.held_out_id],
        "num_tasks": problem.tasks,
        "task_seed": problem.seed,
    }
    common: dict[str, Any] = {"seed": problem.seed}

    def evaluate(label: str, policy_of: str = "") -> Callable[[Mapping[str, str]], Any]:
        config = EvaluateConfig(episodes=settings.evaluation_episodes, baseline="" if policy_of else label)
        message = convert.to_message(config, settings_pb2.EvaluateConfig)
        calibration = [] if policy_of else [problem.training_id]
        return lambda policies: pb.StartEvaluationRequest(
            label=label,
            policy_id=policies.get(policy_of, ""),
            settings=message,
            calibration_task_ids=calibration,
            **held_out,
            **common,
        )

    def adapt(label: str, random_weights: bool) -> Callable[[Mapping[str, str]], Any]:
        config = replace(settings.adaptation, random_weights=random_weights)
        message = convert.to_message(config, settings_pb2.AdaptConfig)
        return lambda policies: pb.StartAdaptationRequest(
            label=label, policy_id=policies["meta_train"], settings=message, **held_out, **common
        )

    def train(label: str, algorithm: Any, config: Any, where: Mapping[str, Any]) -> Callable[[Mapping[str, str]], Any]:
        request = pb.StartTrainingRequest(
            label=label,
            algorithm=convert.algorithm_to_message(algorithm),
            settings=convert.to_message(config, settings_pb2.TrainConfig),
            **where,
            **common,
        )
        return lambda _: request

    training: dict[str, Any] = {"task_ids": [problem.training_id]}
    multi_task = train("multi_task", settings.algorithm, settings.multi_task, training)
    scratch = train("scratch_100_episodes", settings.scratch_algorithm, settings.scratch, held_out)
    return [
        meta_training(problem.training_id, problem.seed, settings),
        Step("multi_task_train", multi_task),
        Step("scratch_100_episodes", scratch),
        *(Step(name, evaluate(name)) for name in BASELINES),
        Step("adapted", adapt("adapted", random_weights=False), ("meta_train",)),
        Step("scratch", adapt("scratch", random_weights=True), ("meta_train",)),
        Step("multi_task", evaluate("multi_task", "multi_task_train"), ("multi_task_train",)),
    ]


def carry_out(clients: Clients, steps: Sequence[Step], check: Callable[[], None]) -> dict[str, pb.GetResultsResponse]:
    """Start every step when its turn has come, show all runs' progress, and return what each produced.

    `check` is called all the time and raises when the services are no longer there. Raises `RunFailed` when a run
    does not complete.
    """
    waiting, running, done = list(steps), dict[str, str](), dict[str, pb.GetResultsResponse]()
    policies: dict[str, str] = {}
    with render.RunBars() as bars:
        while waiting or running:
            for step in [s for s in waiting if all(name in done for name in s.after)]:
                waiting.remove(step)
                running[step.name] = start(clients, step.request(policies)).id
            time.sleep(POLL_S)
            check()
            for name, run_id in list(running.items()):
                run = clients.registry("GetRun", registry_pb2.GetRunRequest(run_id=run_id)).run
                bars.update(run, name)
                if run.state in render.ENDED:
                    check_completed(run)
                    policies[name] = run.result_policy_id
                    done[name] = results(clients, run_id)
                    del running[name]
    return done


def rows_of(done: Mapping[str, pb.GetResultsResponse]) -> list[Row]:
    """All result rows, in the order in which the table shows them; zero inner steps of `adapted` are `unadapted`."""
    order = ("adapted", "scratch", "scratch_100_episodes", "multi_task", *BASELINES)
    rows = [convert.row_from_message(row) for name in order for row in done[name].rows]
    unadapted = [replace(r, method="unadapted") for r in rows if (r.method, r.inner_steps) == ("adapted", 0)]
    return unadapted + [r for r in rows if (r.method, r.inner_steps) != ("adapted", 0)]


def trace_of(done: Mapping[str, pb.GetResultsResponse], name: str) -> dict[str, tuple[float, ...]]:
    """The newest trace of a step: name → one value per control interval."""
    message: run_pb2.Trace = done[name].trace
    return convert.trace_from_message(message)
