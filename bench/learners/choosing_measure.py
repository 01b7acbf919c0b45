"""What cells of populations and of trials find."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.context.measure import COLLECTOR, distribution, measured
from bench.learners.populations import PopulationCell, PopulationOutcome
from bench.learners.proposals import TUNING_SEED, TUNING_TASKS, TrialCell, TrialOutcome
from lwmecps_core.choosing.driving import evolve
from lwmecps_core.choosing.population import best_of, lineage
from lwmecps_core.integrations.local_runs import LocalRuns
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import evaluate, train


def run_population(cell: PopulationCell) -> PopulationOutcome:
    """Let the population train, and measure the member that is best in the end on held-out clusters."""
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        runs = LocalRuns({cell.plan.tasks[0]: distribution(cell.like.problem)}, Path(folder))
        whole = list(evolve(cell.plan, runs))
        cpu_s = time.process_time() - begun
        best = best_of(whole[-1])
        policy = runs.policy(whole[-1][best].policy)
    named = replace(cell.like, method=cell.method)
    return PopulationOutcome(
        found=tuple(measured(named, policy, cell.like.problem)),
        values=tuple(whole[g][i].values for g, i in enumerate(lineage(whole, best)) if i is not None),
        replaced=sum(m.parent != i for generation in whole[1:] for i, m in enumerate(generation)),
        training_cpu_s=cpu_s,
    )


def run_trial(cell: TrialCell) -> TrialOutcome:
    """Train, and measure on clusters that no result is told on."""
    begun = time.process_time()
    source = distribution(cell.problem)
    *_, last = train(source, cell.algorithm, cell.training, COLLECTOR, seed=cell.number)
    cpu_s = time.process_time() - begun
    tasks = tuple(draw(source, TUNING_SEED + i) for i in range(TUNING_TASKS))
    *_, told = evaluate(last.policy, tasks, cell.measuring, COLLECTOR, seed=TUNING_SEED)
    return TrialOutcome(reward=told.metrics["test_avg_reward"], training_cpu_s=cpu_s)
