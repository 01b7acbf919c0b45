"""`docs/slo.md` and its pictures, made from what was found and nothing else."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.slo import plots
from bench.slo.cells import FACTORS, HELD_OUT, HPA, LEARNT, LONGER, RULES, SEEDS, WINDOWS_S, SloCell
from bench.slo.cells import cells as planned
from bench.slo.results import Point, SloOutcomes
from bench.slo.view import SloEvidence, verdict
from bench.slo.workloads import BOUNDS, EVERY_ENV_ID, PRICES, TIMES_TARGET, WORKLOADS
from lwmecps_core.baselines.hpa import TARGETS

EXPLAINED = f"""
Every task is a city's cluster with one of six workloads. At most {BOUNDS.failed_share:.0%} of the requests of
{BOUNDS.window} intervals may fail, and their 95th percentile of latency may be {TIMES_TARGET:g} times the target
latency, in all but {BOUNDS.allowed:.0%} of such windows. A replica costs {PRICES.replica_hour:g} an hour, a move
{PRICES.move:g}.

- `recurrent`, `statistics`: PPO with multipliers, one policy for all workloads and bounds, in its first episode on a
  cluster; the contexts are those of [context.md](context.md). It is told {len(FACTORS)} multipliers, from
  {FACTORS[0]:g} to {FACTORS[-1]:g} times those that its training ended with, which takes {LONGER} times the demo's
  episodes.
- `{HPA}`: the autoscaler's formula with {len(TARGETS)} targets and {len(WINDOWS_S)} windows of stabilisation.
- Of both, the setting that was the cheapest to keep to the bounds on other tasks of the workload is the chosen one: the
  HPA so chosen is the tuned HPA that bars speak of. A policy, which is to take its place, may miss no more on these
  other tasks than it does there.
- `hpa`: the real one with its defaults. `hpa_tuned`, `rate_rule_adapted`: with settings chosen on the very cluster by
  14 and 12 episodes, by cost and bounds. `static`: as deployed.

Raw figures are of whole episodes, steady ones without the first sixth (of decisions: the median). µs: from what is
shown to what is done, for one cluster. Where policies are behind, and why: [decision
0011](decisions/0011-bounds-and-multipliers.md).
"""
HEAD = ("cost/h", "violations", "moves/h", "µs")


def write(cells: Sequence[SloCell], outcomes: SloOutcomes, docs: Path) -> None:
    """The page, and a picture for each version that was measured."""
    views = [SloEvidence(env_id, cells, outcomes) for env_id in dict.fromkeys(c.env_id for c in cells)]
    folder = docs / "slo"
    folder.mkdir(parents=True, exist_ok=True)
    for view in views:
        if view.methods():
            plots.draw(view, folder / f"front-{view.env_id.removeprefix('lwmecps-')}.png")
    (docs / "slo.md").write_text("\n".join(_page(cells, outcomes, views)) + "\n")


def _page(cells: Sequence[SloCell], outcomes: SloOutcomes, views: Sequence[SloEvidence]) -> Iterator[str]:
    done = [c for c in cells if c.key in outcomes]
    commits = Counter(outcomes[c.key].commit or "unknown" for c in done)
    yield "# What keeping to bounds costs\n"
    at = ", ".join(f"{c} ({n} cells)" for c, n in commits.most_common()) or "no commit yet"
    yield (
        f'Made by `make benchmark ARGS="slo"` from `docs/slo.json` ({len(done)} of {len(cells)} cells done; it goes on'
        f"\nwhere it was cut). Done at {at}."
    )
    yield EXPLAINED
    learnt = [c for c in done if c.method != RULES]
    for c in learnt:
        o = outcomes[c.key]
        found = ", ".join(f"{k} {v:.2f}" for k, v in (o.multipliers or {}).items())
        yield (
            f"- `{c.name}`: {c.training.total_episodes:,} episodes in training, {o.training_cpu_s:.0f} s of CPU; "
            f"multipliers at its end: {found}"
        )
    missing = Counter(f"{c.env_id} {c.method}" for c in cells if c.key not in outcomes)
    if missing:
        yield "\n**Not measured**: " + ", ".join(f"{name} ({n} seeds)" for name, n in missing.items()) + "."
    full = {c.key for c in planned(EVERY_ENV_ID, HELD_OUT)}
    if left := len(full - outcomes.keys()):
        yield (
            f"\n**This is a trial**: {left} of the {len(full)} cells of the whole benchmark (v3 and v4, {SEEDS} "
            f"training seeds,\n{HELD_OUT} tasks of each workload, {LONGER} times the demo's episodes in training) are "
            "missing."
        )
    for view in views:
        if view.methods():
            yield from _version(view)


def _version(view: SloEvidence) -> Iterator[str]:
    name = view.env_id.removeprefix("lwmecps-")
    yield f"\n## {name}\n"
    yield from _bars(view)
    yield f"\n![Cost against violations](slo/front-{name}.png)\n"
    for workload in WORKLOADS:
        yield f"\n### {workload}, {name}\n"
        yield f"| method | setting | reward | {' | '.join(HEAD)} | steady: {' | '.join(HEAD)} |"
        yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        for method in view.methods():
            if some := view.chosen(workload, method):
                yield _line(method, some)


def _bars(view: SloEvidence) -> Iterator[str]:
    for method in LEARNT:
        found = [v for w in WORKLOADS if (v := verdict(view, w, method))]
        if not found:
            continue
        yield f"`{method}` minus the tuned HPA, 95 % intervals over training seeds and tasks:\n"
        yield "| workload | cost/h | violations | moves, times the HPA's | no worse in either | better in one |"
        yield "| --- | --- | --- | ---: | --- | --- |"
        for v in found:
            cost = f"{v.cost.mean:+.3f} [{v.cost.low:+.3f}, {v.cost.high:+.3f}]"
            missed = f"{v.missed.mean:+.1%} [{v.missed.low:+.1%}, {v.missed.high:+.1%}]"
            yield f"| {v.workload} | {cost} | {missed} | {v.churn:.2f} | {_word(v.no_worse)} | {_word(v.better)} |"
        no_worse, better = sum(v.no_worse for v in found), sum(v.better for v in found)
        met = no_worse == 6 and better >= 4 and all(v.churn <= 2 for v in found)
        yield (
            "\nBar (no worse on 6 of 6, significantly better in one on at least 4, at most twice the moves): "
            f"{no_worse} of 6, {better}, {max(v.churn for v in found):.2f} times at most: "
            f"{'met' if met else '**missed**'}.\n"
        )


def _word(yes: bool) -> str:
    return "yes" if yes else "no"


def _line(method: str, some: Sequence[Point]) -> str:
    def mean(name: str) -> float:
        return float(np.mean([getattr(p, name) for p in some]))

    def us(name: str) -> str:
        known = [getattr(p, name) for p in some if getattr(p, name) is not None]
        return f"{np.mean(known):.0f}" if known else ""

    setting = "; ".join(dict.fromkeys(p.setting for p in some))
    raw = f"{mean('costs'):.3f} | {mean('missed'):.1%} | {mean('moves'):.0f} | {us('decision_us')}"
    steady = f"{mean('cost_steady'):.3f} | {mean('missed_steady'):.1%} | {mean('moves_steady'):.0f}"
    return f"| {method} | {setting} | {mean('reward'):.1f} | {raw} | {steady} | {us('decision_us_steady')} |"
