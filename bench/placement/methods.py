"""The methods: each makes entries for the held-out tasks of a family, and perhaps a policy that others go on from."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from bench.placement.jobs import BenchmarkJob
from bench.placement.measure import MeasuredRow, Watch, entries, mean_row, measured
from bench.placement.settings import EVALUATION_SEED, FIRST_HELD_OUT_SEED
from lwmecps_core import algorithms
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.policy import PolicyData, from_bytes, to_bytes
from lwmecps_core.run_config import AdaptConfig, EvaluateConfig, TransferConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import adapt, evaluate, meta_train, train, transfer
from lwmecps_core.training.progress import LoopState, Progress
from lwmecps_core.training.sampling import torch_generator
from services.learner_service import checkpoints

SOURCE_TASK_SEED = 100
"""Of the one other task that transfer's source policy is trained on."""
UNTRAINED_DRAWS = 8


@dataclass(frozen=True)
class Handover:
    """What a job leaves to those that go on from it: its policy, and its loop's state without the replay memory."""

    policy: PolicyData
    state: LoopState

    def files(self) -> dict[str, bytes]:
        """Both in their own file formats."""
        return {"policy": to_bytes(self.policy), "state": checkpoints.to_bytes(self.state)}

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> "Handover":
        """Inverse of `files`."""
        return cls(from_bytes(files["policy"], "policy"), checkpoints.from_bytes(files["state"], "state"))


@dataclass(frozen=True)
class Outcome:
    """What a job found; `env_steps` and `wall_s` are of the training on other tasks than the held-out ones."""

    entries: list[MeasuredRow]
    env_steps: int = 0
    wall_s: float = 0.0
    handover: Handover | None = None


def run(job: BenchmarkJob, before: Outcome | None) -> Outcome:
    """Carry out a job that goes on from `before` (None where it begins with nothing)."""
    return KINDS[job.kind](job, _Problem.of(job), before)


@dataclass(frozen=True)
class _Problem:
    distribution: TaskDistribution
    tasks: tuple[TaskSpec, ...]
    watch: Watch = field(default_factory=Watch)

    @classmethod
    def of(cls, job: BenchmarkJob) -> "_Problem":
        distribution = TaskDistribution(family=job.family, env_id=job.env_id)
        return cls(distribution, tuple(draw(distribution, FIRST_HELD_OUT_SEED + i) for i in range(job.tasks)))


def _rules(job: BenchmarkJob, problem: _Problem, before: Outcome | None) -> Outcome:
    """Rules and the oracle; the autoscaler is calibrated on training tasks."""
    made: list[MeasuredRow] = []
    for name in job.baselines:
        cfg = EvaluateConfig(episodes=job.evaluation_episodes, baseline=name)
        for progress in evaluate(
            None, problem.tasks, cfg, problem.watch, seed=EVALUATION_SEED, calibration=problem.distribution
        ):
            made += entries(progress.rows, job.row_name(name))
    return Outcome(made)


def _alone(job: BenchmarkJob, problem: _Problem, before: Outcome | None) -> Outcome:
    """A policy for each held-out task, from nothing."""
    last = _last(train(problem.tasks, job.algorithm, job.training, problem.watch, seed=EVALUATION_SEED))
    return Outcome(entries(last.rows, job.name, problem.watch))


def _multi_task(job: BenchmarkJob, problem: _Problem, before: Outcome | None) -> Outcome:
    """One policy for all tasks of the family, measured as it is."""
    return _trained(job, problem, before, problem.distribution)


def _source(job: BenchmarkJob, problem: _Problem, before: Outcome | None) -> Outcome:
    """A policy trained on one other task."""
    return _trained(job, problem, before, (_other(problem),))


def _trained(
    job: BenchmarkJob, problem: _Problem, before: Outcome | None, source: TaskDistribution | tuple[TaskSpec, ...]
) -> Outcome:
    start = before.handover.state if before and before.handover else None
    begun = time.perf_counter()
    last = _last(train(source, job.algorithm, job.training, problem.watch, seed=job.seed, start=start))
    wall_s = time.perf_counter() - begun + (before.wall_s if before else 0.0)
    handover = _handover(last)
    rows = measured([handover.policy] * len(problem.tasks), problem.tasks, job.evaluation_episodes, EVALUATION_SEED)
    env_steps = problem.watch.env_steps + (before.env_steps if before else 0)
    return Outcome(entries(rows, job.name), env_steps, wall_s, handover)


def _meta(job: BenchmarkJob, problem: _Problem, before: Outcome | None) -> Outcome:
    """Meta-training that goes on from the multi-task policy (its warm-up), then adaptation to every held-out task."""
    assert before is not None and before.handover is not None
    begun = time.perf_counter()
    last = _last(
        meta_train(
            problem.distribution, job.algorithm, job.meta, problem.watch, seed=job.seed, start=before.handover.state
        )
    )
    wall_s = time.perf_counter() - begun + before.wall_s
    handover = _handover(last)
    made = _adapted(problem, handover.policy, job.adaptation, job.name)
    return Outcome(made, before.env_steps + problem.watch.env_steps, wall_s, handover)


def _untrained(job: BenchmarkJob, problem: _Problem, before: Outcome | None) -> Outcome:
    """Random weights as they are: means over several draws of them, since single ones differ by a factor."""
    spec = env_spec(problem.tasks[0])
    algo = algorithms.make(job.algorithm, spec)
    draws = [algo.init(torch_generator(job.seed, f"untrained-{i}")) for i in range(UNTRAINED_DRAWS)]
    policies = [PolicyData(job.algorithm, spec, params, extra) for params, extra in draws]
    count = len(problem.tasks)
    found = [measured([p] * count, problem.tasks, job.evaluation_episodes, EVALUATION_SEED) for p in policies]
    return Outcome(entries([mean_row(rows) for rows in zip(*found, strict=True)], job.name))


def _random_weights(job: BenchmarkJob, problem: _Problem, before: Outcome | None) -> Outcome:
    """The same inner steps with the learnt rates from random weights, however much better doing nothing is."""
    assert before is not None and before.handover is not None
    cfg = replace(job.adaptation, random_weights=True, keep_placement_if_worse=False)
    return Outcome(_adapted(problem, before.handover.policy, cfg, job.name))


def _adapted(problem: _Problem, policy: PolicyData, cfg: AdaptConfig, name: str) -> list[MeasuredRow]:
    watch = Watch()
    made: list[MeasuredRow] = []
    for progress in adapt(policy, problem.tasks, cfg, watch, seed=EVALUATION_SEED):
        made += entries(progress.rows, name, watch)
    return made


def _transfer(job: BenchmarkJob, problem: _Problem, before: Outcome | None) -> Outcome:
    """A policy that goes on learning on every held-out task, each time from the same start."""
    assert before is not None and before.handover is not None
    start = replace(before.handover.policy, algorithm=job.algorithm)
    begun = time.perf_counter()
    results = [_transferred(start, task, job.transfer, problem) for task in problem.tasks]
    wall_s = (time.perf_counter() - begun) / len(problem.tasks)
    batches = -(-job.transfer.total_episodes // job.transfer.episodes_per_batch)
    used = batches * job.transfer.episodes_per_batch * problem.distribution.horizon
    args = (problem.tasks, job.evaluation_episodes, EVALUATION_SEED)
    made = entries(measured([start] * len(problem.tasks), *args), job.name)
    found = measured(results, *args, inner_steps=batches, env_steps=used, wall_s=wall_s)
    return Outcome(made + entries(found, job.name, problem.watch), before.env_steps, before.wall_s)


def _transferred(start: PolicyData, task: TaskSpec, cfg: TransferConfig, problem: _Problem) -> PolicyData:
    origin = (_other(problem),) if cfg.method == "domain_adaptation" else ()
    policy = _last(transfer(start, (task,), cfg, problem.watch, seed=EVALUATION_SEED, origin=origin)).policy
    assert policy is not None
    return policy


def _other(problem: _Problem) -> TaskSpec:
    return draw(problem.distribution, SOURCE_TASK_SEED)


def _last(steps: Iterator[Progress]) -> Progress:
    *_, last = steps
    return last


def _handover(last: Progress) -> Handover:
    assert last.policy is not None
    kept: dict[str, Tensor] = {k: v.clone() for k, v in last.state.tensors.items() if not k.startswith("memory/")}
    return Handover(last.policy, LoopState(last.state.step, kept, last.state.scalars))


KINDS: Mapping[str, Callable[[BenchmarkJob, _Problem, Outcome | None], Outcome]] = {
    "rules": _rules,
    "alone": _alone,
    "multi_task": _multi_task,
    "source": _source,
    "meta": _meta,
    "untrained": _untrained,
    "random_weights": _random_weights,
    "transfer": _transfer,
}
