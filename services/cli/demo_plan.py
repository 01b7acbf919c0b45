"""The demo's runs, which wait for what, and following all of them at once."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lwmecps_core.results import Row
from lwmecps_core.run_config import AdaptConfig, AlgorithmConfig, EvaluateConfig, TrainConfig
from protos.lwmecps.common.v1 import settings_pb2
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from services.cli import render
from services.cli.clients import Clients, start
from services.cli.demo_settings import BASELINES, DemoSettings
from services.cli.following import check_completed, results
from services.common import convert

POLL_S = 1.0
LATEST = registry_pb2.ListRunsRequest(page_size=1000)
"""All of the demo's runs: its registry has no others."""
Request = Callable[[Mapping[str, str]], Any]
"""Policy ids of the steps before → the request for a run."""
LEARNT = (
    "context",
    "context_adapted",
    "adapted",
    "scratch",
    "scratch_100_episodes",
    "multi_task",
    "multi_task_fine_tuned",
    "blind",
    "privileged",
)


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
    request: Request
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


def context_training(training_id: str, seed: int, settings: DemoSettings) -> Step:
    """The run that trains the policy with a context."""
    on = _Requests(Problem(training_id, "", 0, seed), settings)
    return Step("context_train", on.training("context_train", settings.context_algorithm, settings.context_training))


def plan(problem: Problem, settings: DemoSettings) -> list[Step]:
    """All runs, the longest chains (training, then adaptation) first."""
    on = _Requests(problem, settings)
    learners = {
        "context": (settings.context_algorithm, settings.context_training),
        "multi_task": (settings.algorithm, settings.multi_task),
        "blind": (settings.blind_algorithm, settings.multi_task),
        "privileged": (settings.privileged_algorithm, settings.multi_task),
    }
    random = replace(settings.adaptation, random_weights=True)
    tuned = "multi_task_fine_tuned"
    trainings = [Step(f"{name}_train", on.training(name, *learner)) for name, learner in learners.items()]
    return [
        trainings[0],
        meta_training(problem.training_id, problem.seed, settings),
        *trainings[1:],
        Step("scratch_100_episodes", on.scratch("scratch_100_episodes")),
        *(Step(name, on.baseline(name)) for name in BASELINES),
        Step("adapted", on.adaptation("adapted", "meta_train", settings.adaptation), ("meta_train",)),
        Step("scratch", on.adaptation("scratch", "meta_train", random), ("meta_train",)),
        Step("context", on.policy("context", "context_train", settings.episodes_before), ("context_train",)),
        Step("context_adapted", on.adaptation("context_adapted", "context_train", settings.polish), ("context_train",)),
        Step("multi_task", on.policy("multi_task", "multi_task_train"), ("multi_task_train",)),
        Step(tuned, on.adaptation(tuned, "multi_task_train", settings.polish), ("multi_task_train",)),
        *(Step(name, on.policy(name, f"{name}_train"), (f"{name}_train",)) for name in ("blind", "privileged")),
    ]


class _Requests:
    """What the demo asks the learner-service for, by the label of its results."""

    def __init__(self, problem: Problem, settings: DemoSettings) -> None:
        self._problem, self._settings = problem, settings
        self._held_out: dict[str, Any] = {
            "task_ids": [problem.held_out_id],
            "num_tasks": problem.tasks,
            "task_seed": problem.seed,
            "seed": problem.seed,
        }

    def baseline(self, name: str) -> Request:
        """A rule on the held-out tasks, tuned on those of training if it has settings."""
        config = EvaluateConfig(episodes=self._settings.evaluation_episodes, baseline=name)
        request = pb.StartEvaluationRequest(
            label=name,
            settings=convert.to_message(config, settings_pb2.EvaluateConfig),
            calibration_task_ids=[self._problem.training_id],
            **self._held_out,
        )
        return lambda _: request

    def policy(self, label: str, trained_by: str, before: tuple[int, ...] = (0,)) -> Request:
        """A policy on the held-out tasks, as it is."""
        config = EvaluateConfig(episodes=self._settings.evaluation_episodes, episodes_before=before)
        message = convert.to_message(config, settings_pb2.EvaluateConfig)
        return lambda policies: pb.StartEvaluationRequest(
            label=label, policy_id=policies[trained_by], settings=message, **self._held_out
        )

    def adaptation(self, label: str, trained_by: str, config: AdaptConfig) -> Request:
        """A policy after steps on every held-out task."""
        message = convert.to_message(config, settings_pb2.AdaptConfig)
        return lambda policies: pb.StartAdaptationRequest(
            label=label, policy_id=policies[trained_by], settings=message, **self._held_out
        )

    def training(self, label: str, algorithm: AlgorithmConfig, config: TrainConfig) -> Request:
        """One policy for all training tasks."""
        where = {"task_ids": [self._problem.training_id], "seed": self._problem.seed}
        return self._train(label, algorithm, config, where)

    def scratch(self, label: str) -> Request:
        """A policy for each held-out task."""
        return self._train(label, self._settings.scratch_algorithm, self._settings.scratch, self._held_out)

    def _train(self, label: str, algorithm: AlgorithmConfig, config: TrainConfig, where: Mapping[str, Any]) -> Request:
        request = pb.StartTrainingRequest(
            label=label,
            algorithm=convert.algorithm_to_message(algorithm),
            settings=convert.to_message(config, settings_pb2.TrainConfig),
            **where,
        )
        return lambda _: request


def days_on(task_id: str, policy_id: str, problem: Problem) -> list[Step]:
    """One episode on one task under the policy, in its first episode there, and under the calibrated autoscaler."""
    message = convert.to_message(EvaluateConfig(episodes=1), settings_pb2.EvaluateConfig)
    policy = pb.StartEvaluationRequest(
        label="context", policy_id=policy_id, settings=message, task_ids=[task_id], seed=problem.seed
    )
    rule = pb.StartEvaluationRequest(
        label="hpa_calibrated",
        settings=convert.to_message(EvaluateConfig(episodes=1, baseline="hpa_calibrated"), settings_pb2.EvaluateConfig),
        calibration_task_ids=[problem.training_id],
        task_ids=[task_id],
        seed=problem.seed,
    )
    return [Step("context", lambda _: policy), Step("hpa_calibrated", lambda _: rule)]


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
            known = {run.id: run for run in clients.registry("ListRuns", LATEST).runs}
            for name, run_id in list(running.items()):
                run = known[run_id]
                bars.update(run, name)
                if run.state in render.ENDED:
                    check_completed(run)
                    policies[name] = run.result_policy_id
                    done[name] = results(clients, run_id)
                    del running[name]
    return done


def rows_of(done: Mapping[str, pb.GetResultsResponse]) -> list[Row]:
    """All result rows, in the order in which the table shows them; zero inner steps of `adapted` are `unadapted`, and
    those of a policy that is measured by itself as well are left out.
    """
    order = (*LEARNT, *BASELINES)
    rows = [convert.row_from_message(row) for name in order for row in done[name].rows]
    unadapted = [replace(r, method="unadapted") for r in rows if (r.method, r.inner_steps) == ("adapted", 0)]
    starts = {(name, 0) for name in ("adapted", "context_adapted", "multi_task_fine_tuned")}
    return unadapted + [r for r in rows if (r.method, r.inner_steps) not in starts]


def trace_of(done: Mapping[str, pb.GetResultsResponse], name: str) -> dict[str, tuple[float, ...]]:
    """The newest trace of a step: name → one value per control interval."""
    message: run_pb2.Trace = done[name].trace
    return convert.trace_from_message(message)
