"""The bars that the benchmark is judged by."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.placement.estimates import estimate
from bench.placement.settings import META_METHODS
from bench.placement.view import (
    ALONE,
    CALIBRATED,
    FRUGAL,
    HEADLINE,
    META,
    ORACLE,
    RANDOM_WEIGHTS,
    TRANSFERS,
    ResultView,
    apart,
)
from lwmecps_core.statistics import Estimate, share_of_gap

LEAST_GAP_CLOSED = 0.85
LARGEST_DATA_SHARE = 0.05
FOMAML_SLACK = 0.05
FROM_MEMORY = ("dqn", "sac", "td3")
"""The algorithms that learn from a memory of transitions."""
OFF_POLICY_SLACK = 2.0
"""How far these may be behind PPO from nothing, in reward per episode."""
FAMILIES_ABOVE, LARGEST_LEFT_ALONE = 3, 0.15
WHERE = "mec_city"


@dataclass(frozen=True)
class Bar:
    """A demand on a method (on one family, or on all where none is named), what was measured, and if that meets it."""

    number: int
    method: str
    family: str
    demand: str
    figure: str
    met: bool


def bars(view: ResultView) -> list[Bar]:
    """All bars that the rows have figures for."""
    return [
        *_support(view),
        *_headline(view),
        *_from_random_weights(view),
        *_first_order(view),
        *_improvement(view),
        *_from_memory_alone(view),
        *_from_memory_beforehand(view),
    ]


def _support(view: ResultView) -> Iterator[Bar]:
    for family in view.families:
        found = view.over_static(family, HEADLINE)
        if found:
            yield Bar(
                1,
                HEADLINE,
                family,
                f"{family}: support episodes of {HEADLINE} earn no less than `static`",
                f"{found.mean:+.2f} ± {found.ci95:.2f}",
                found.mean >= 0,
            )
    pairs = [(f, m, d) for f in view.families for m in META if (d := view.over_static(f, m))]
    if pairs:
        below = [p for p in pairs if p[2].mean < 0]
        family, method, least = min(pairs, key=lambda p: p[2].mean)
        yield Bar(
            1,
            method,
            family,
            "the same for every meta-learner on every family",
            f"{len(pairs) - len(below)} of {len(pairs)}; least: {method} on {family}, {least.mean:+.2f}",
            not below,
        )


def _headline(view: ResultView) -> Iterator[Bar]:
    for method in (HEADLINE, FRUGAL):
        last, alone = view.last(WHERE, method), view.last(WHERE, ALONE)
        if not last or not alone:
            continue
        share = view.share(last) or 0.0
        name = f"{WHERE}: {method}, {last['inner_steps']} inner steps"
        ahead = estimate(apart(last, alone))
        data = last["env_steps"] / alone["env_steps"]
        yield Bar(
            2,
            method,
            WHERE,
            f"{name}: ≥ {LEAST_GAP_CLOSED:.0%} of the gap from the untrained policy to the oracle",
            f"{share:.1%}",
            share >= LEAST_GAP_CLOSED,
        )
        yield Bar(
            2, method, WHERE, f"{name}: not below {ALONE}", f"{ahead.mean:+.2f} ± {ahead.ci95:.2f}", ahead.mean >= 0
        )
        yield Bar(
            2,
            method,
            WHERE,
            f"{name}: ≤ {LARGEST_DATA_SHARE:.0%} of the data of {ALONE}",
            f"{data:.1%}",
            data <= LARGEST_DATA_SHARE + 1e-9,
        )


def _from_random_weights(view: ResultView) -> Iterator[Bar]:
    """The demo's measure of the gap, whose lower end has taken the same inner steps."""
    last, low, oracle = (view.last(WHERE, name) for name in (HEADLINE, RANDOM_WEIGHTS, ORACLE))
    if last and low and oracle:
        closed = share_of_gap(*(row["reward_mean"] for row in (last, low, oracle)))
        yield Bar(
            2,
            HEADLINE,
            WHERE,
            f"{WHERE}: {HEADLINE}: ≥ {LEAST_GAP_CLOSED:.0%} of the gap from random weights after the same inner steps",
            f"{closed:.1%}",
            closed >= LEAST_GAP_CLOSED,
        )


def _first_order(view: ResultView) -> Iterator[Bar]:
    for family in view.families:
        second, first, gap = view.last(family, "meta_ppo_maml"), view.last(family, "meta_ppo_fomaml"), view.gap(family)
        if second and first and gap:
            behind = estimate(apart(second, first))
            yield Bar(
                3,
                "meta_ppo_fomaml",
                family,
                f"{family}: FOMAML behind MAML (with PPO) by ≤ {FOMAML_SLACK:.0%} of the gap",
                f"{behind.mean / gap:+.1%} ± {behind.ci95 / gap:.1%}",
                behind.mean / gap <= FOMAML_SLACK,
            )


def _improvement(view: ResultView) -> Iterator[Bar]:
    for method in (*META, *TRANSFERS):
        pooled = view.gains(method)
        if not pooled.size:
            continue
        gain = estimate(pooled)
        each = [estimate(x) for family in view.families if (x := view.gains(method, [family])).size]
        significant = sum(g.mean > g.ci95 for g in each)
        acting = view.acting(method)
        own = estimate(pooled, acting) if acting.any() else Estimate(0.0, float("inf"))
        figure = (
            f"{gain.mean:+.2f} ± {gain.ci95:.2f} over {_counted(*pooled.shape)}; significant on {significant} of "
            f"{len(each)} families alone"
        )
        if not acting.all():
            figure += f"; {own.mean:+.2f} ± {own.ci95:.2f} over the {acting.sum()} on which a policy still acts"
        yield Bar(
            4,
            method,
            "",
            f"{method} improves on its own unadapted start",
            figure,
            gain.mean > gain.ci95 and own.mean > own.ci95,
        )


def _from_memory_alone(view: ResultView) -> Iterator[Bar]:
    alone = view.last(WHERE, ALONE)
    for algorithm in FROM_MEMORY:
        method = f"{algorithm}_100_episodes"
        if (row := view.last(WHERE, method)) and alone:
            behind = estimate(apart(row, alone))
            yield Bar(
                5,
                method,
                WHERE,
                f"{WHERE}: {method} behind {ALONE} by ≤ {OFF_POLICY_SLACK:g}",
                f"{behind.mean:+.2f} ± {behind.ci95:.2f}",
                behind.mean >= -OFF_POLICY_SLACK,
            )


def _from_memory_beforehand(view: ResultView) -> Iterator[Bar]:
    for algorithm in FROM_MEMORY:
        for method in (f"meta_{algorithm}_{name}" for name in META_METHODS):
            starts = [
                estimate(apart(row, rule)).mean
                for family in view.families
                if (row := view.first(family, method)) and (rule := view.last(family, CALIBRATED))
            ]
            if starts:
                above = sum(mean >= 0 for mean in starts)
                yield Bar(
                    6,
                    method,
                    "",
                    f"{method}: its unadapted start is not below {CALIBRATED} on ≥ {FAMILIES_ABOVE} families",
                    f"{above} of {len(starts)}: {', '.join(f'{mean:+.1f}' for mean in starts)}",
                    above >= FAMILIES_ABOVE,
                )
            marks = [mark for family in view.families for mark in view.left_alone(family, method).flat]
            if marks:
                share = sum(marks) / len(marks)
                yield Bar(
                    7,
                    method,
                    "",
                    f"{method} leaves ≤ {LARGEST_LEFT_ALONE:.0%} of the tasks as they were deployed",
                    f"{share:.0%}",
                    share <= LARGEST_LEFT_ALONE,
                )


def _counted(seeds: int, tasks: int) -> str:
    return f"{tasks} tasks" + (f" and {seeds} training seeds" if seeds > 1 else "")
