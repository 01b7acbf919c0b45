"""`docs/context.md` and its pictures, made from what was found and nothing else."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.context import plots
from bench.context.bars import CONTEXT, bars
from bench.context.cells import Cell, ClusterKind
from bench.context.results import CellOutcomes
from bench.context.view import Evidence
from lwmecps_core.statistics import holm

EXPLAINED = """
- `context`: PPO that remembers by running statistics; in its 1st, 2nd and 5th episode on a cluster.
- `context_fine_tuned`: the same, then 1 to 5 plain PPO steps of 4 episodes there.
- `multi_task`, `multi_task_fine_tuned`: PPO that is told the objective and remembers nothing; the same after steps.
- `blind`: PPO that isn't even told the objective.
- `privileged`: PPO that is told all that is hidden: service times, load to come, links.
- `recurrent`: PPO with a memory that is learnt (RL²), in its 1st, 2nd and 5th episode on a cluster.
- `unadapted`, `adapted`: first-order MAML from a multi-task policy, as it is and after 1 to 5 inner steps.
- `scratch`: random weights after as many such steps.
- `scratch_100_episodes`: PPO from nothing on the very cluster, with settings found for that, after 100 episodes there.
- `hpa`, `hpa_calibrated`, `hpa_tuned`: the Kubernetes autoscaler by default; with a target chosen on training tasks;
  with one chosen on the very cluster, by 14 episodes.
- `rate_rule`, `rate_rule_adapted`: replicas by queueing theory; with settings that 12 episodes on the cluster chose.
- `oracle`: the best plan found by a search that knows everything.
"""


def write(cells: Sequence[Cell], outcomes: CellOutcomes, docs: Path) -> None:
    """The page and its pictures, of the kinds of clusters on which a policy with a context was measured."""
    outcomes = {cell.key: outcomes[cell.key] for cell in cells if cell.key in outcomes}
    problems = dict.fromkeys(x.problem for o in outcomes.values() for x in o.found)
    order = {p: i for i, p in enumerate(dict.fromkeys(p for cell in cells for p in (cell.problem, *cell.also)))}
    views = {p: Evidence(p, cells, outcomes) for p in sorted(problems, key=order.__getitem__)}
    views = {p: view for p, view in views.items() if CONTEXT in view}
    folder = docs / "context"
    folder.mkdir(parents=True, exist_ok=True)
    plots.draw(views, folder)
    (docs / "context.md").write_text("\n".join(_page(cells, outcomes, views)) + "\n")


def _page(cells: Sequence[Cell], outcomes: CellOutcomes, views: dict[ClusterKind, Evidence]) -> Iterator[str]:
    yield "# What remembering a cluster is worth\n"
    yield (
        f"Made by `make benchmark` from `docs/context.json` ({len(outcomes)} of {len(cells)} cells done; it goes on\n"
        "where it was cut). All learnt policies have the demo's settings, data and schedule of the learning rate;\n"
        "held-out tasks are drawn by seeds that nothing was tuned on. Intervals are 95 %, by a bootstrap over\n"
        "training seeds and tasks; a star: significant among all comparisons of the table (Holm). `before` is what\n"
        "the episodes on the cluster before earned, on average.\n\n"
        f"Done at these commits: {_commits(outcomes)}. What was measured before tasks changed (decision 0014) is in\n"
        "[context/before-0014.md](context/before-0014.md).\n"
    )
    yield EXPLAINED.strip()
    yield "\n## Bars\n"
    yield "| demand | measured | |"
    yield "| --- | --- | --- |"
    for bar in bars(views):
        yield f"| {bar.demand} | {bar.figure} | {'met' if bar.met else '**missed**'} |"
    yield "\nWhat was tried where `recurrent(1)` is far below the HPA: [0010](decisions/0010-learnt-memory.md)."
    yield "\n![Differences to context(1)](context/differences.png)\n"
    for problem, view in views.items():
        yield from _table(problem, view)
    spent = [o.training_cpu_s for o in outcomes.values() if o.training_cpu_s]
    if spent:
        yield f"\nTraining took {np.mean(spent):.0f} s of CPU per policy on average, {sum(spent) / 3600:.1f} h in all."


def _commits(outcomes: CellOutcomes) -> str:
    """How many cells were done where; draws and rounding may differ between commits."""
    found = Counter(outcome.commit or "unknown" for outcome in outcomes.values())
    return ", ".join(f"{commit} ({count} cells)" for commit, count in found.most_common())


def _table(problem: ClusterKind, view: Evidence) -> Iterator[str]:
    rows = sorted(view.every(), key=view.mean, reverse=True)
    others = [at for at in rows if at != CONTEXT]
    compared = {at: view.difference(at, CONTEXT) for at in others}
    stars = dict(zip(others, holm([compared[at].p for at in others]), strict=True))
    yield f"\n## {problem.title}\n"
    yield "| method | reward | seeds: sd | minus context(1) | before | latency ms | replicas | SLA miss | moves |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for at in rows:
        found = view.found(at)
        by_seed = view.rewards(at).mean(1)
        spread = f"{by_seed.std(ddof=1):.2f} ({len(by_seed)})" if len(by_seed) > 1 else ""
        d = compared.get(at)
        ahead = f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]{'*' * stars[at]}" if d else ""
        earned = [f.support_reward for f in found if f.support_reward is not None]
        before = f"{np.mean(earned):.1f}" if earned else ""
        means = [np.mean([getattr(f, name) for f in found]) for name in ("latency_ms", "replicas", "sla_miss", "moves")]
        figures = f"{means[0]:.0f} | {means[1]:.1f} | {means[2]:.1%} | {means[3]:.2f}"
        yield f"| {at.title} | {by_seed.mean():.2f} | {spread} | {ahead} | {before} | {figures} |"
