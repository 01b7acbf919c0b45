"""What a belief is worth: the policy's rewards, and how well service times are read off it."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.context.cells import EVALUATION_SEED, Cell
from bench.context.measure import COLLECTOR, distribution, held_out, measured, trained
from bench.learners.beliefs import INTERVALS, PROBE_SEED, PROBE_TASKS
from bench.learners.beliefs_results import BeliefOutcome, Named
from lwmecps_core import algorithms
from lwmecps_core.algorithms.belief import Gaussian
from lwmecps_core.algorithms.belief_ppo import GROUP
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.context.known import SCALE_SERVICE_MS
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.sim.state import busy_ms
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.sampling import seeds, torch_generator

SAMPLES, QUANTILES, NORMAL_90 = 200, (0.05, 0.95), 1.645
RIDGE = 1e-3
Floats = NDArray[np.float64]


def run(cell: Cell) -> BeliefOutcome:
    """Train the cell's policy, and measure it and its belief."""
    begun = time.process_time()
    policy = trained(cell)
    cpu_s = time.process_time() - begun
    others = tuple(draw(distribution(cell.problem), PROBE_SEED + i) for i in range(PROBE_TASKS))
    named = tuple(service_times(policy, others, held_out(cell.problem, cell.tasks)))
    return BeliefOutcome(found=list(measured(cell, policy, cell.problem)), named=named, training_cpu_s=cpu_s)


def service_times(policy: PolicyData, others: Sequence[TaskSpec], tasks: Sequence[TaskSpec]) -> Iterator[Named]:
    """How well those of `tasks` are read off what is believed of them, by a probe that is fitted on `others`, and by
    the policy's own head where it has one.
    """
    known, wanted = believed(policy, others), believed(policy, tasks)
    for at in INTERVALS:
        frame = min(at, known[0].shape[1] - 1)
        mean_of, log_variance, truth = wanted[0][:, frame], wanted[1][:, frame], wanted[2]
        guess, spread = probed(known[0][:, frame], known[2], mean_of)
        yield _named("probe", at, truth.ravel(), guess, guess - NORMAL_90 * spread, guess + NORMAL_90 * spread)
        algo: Any = algorithms.make(policy.algorithm, policy.env_spec)
        if algo.decoder.names_service:
            said = Gaussian(*(torch.as_tensor(x, dtype=torch.float32) for x in (mean_of, log_variance)))
            yield _named("head", at, truth.ravel(), *_by_head(algo, policy, said))


def believed(policy: PolicyData, tasks: Sequence[TaskSpec]) -> tuple[Floats, Floats, Floats]:
    """Means and logarithms of variances `[tasks, frames, units, Z]` over the policy's first episode on each task, and
    the logarithms of the service times `[tasks, D]`.
    """
    algo: Any = algorithms.make(policy.algorithm, policy.env_spec)
    plan = CollectionPlan(seeds=seeds(EVALUATION_SEED, "beliefs", len(tasks)), episodes=1, greedy=True)
    batches = COLLECTOR.collect(tasks, PolicySnapshot(policy.algorithm, policy.params, policy.extra, 0), plan)
    some = {name: x.flatten(0, 1) for name, x in algo.experience(stacked(batches)).items()}
    with torch.no_grad():
        net = policy.params[GROUP]
        states = algo.belief.recurrence.unrolled(net, some["obs"], some["told"], some["state"])
        found = algo.belief.of(net, states)
    times = np.log([[busy_ms(d) / SCALE_SERVICE_MS for d in task.deployments] for task in tasks])
    return found.mean.double().numpy(), found.log_variance.double().numpy(), times


def probed(known: Floats, times: Floats, wanted: Floats) -> tuple[Floats, float]:
    """A ridge regression of `times` `[N, D]` on what is `known` `[N, D, Z]`, the same for all deployments, at `wanted`;
    and the standard deviation of what it leaves of the former.
    """
    x, y = _with_one(known), times.ravel()
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    return _with_one(wanted) @ weights, float((y - x @ weights).std())


def _with_one(x: Floats) -> Floats:
    rows = x.reshape(-1, x.shape[-1])
    return np.concatenate([rows, np.ones((len(rows), 1))], -1)


def _by_head(algo: Any, policy: PolicyData, said: Gaussian) -> tuple[Floats, Floats, Floats]:
    """What the head says under samples of the belief: its mean, and the ends of its 90 %."""
    noise = torch.randn(SAMPLES, *said.mean.shape, generator=torch_generator(EVALUATION_SEED, "head"))
    mean, log_scale = algo.decoder.service(policy.params[GROUP], said.sample(noise))
    also = torch.randn(mean.shape, generator=torch_generator(EVALUATION_SEED, "spread"))
    drawn = (mean + log_scale.exp() * also).flatten(1).double().numpy()
    low, high = np.quantile(drawn, QUANTILES, axis=0)
    return mean.mean(0).flatten().double().numpy(), low, high


def _named(by: str, at: int, truth: Floats, guess: Floats, low: Floats, high: Floats) -> Named:
    r2 = 1.0 - float(np.square(truth - guess).mean() / truth.var())
    return Named(by=by, intervals=at, r2=r2, covered=float(((truth >= low) & (truth <= high)).mean()))
