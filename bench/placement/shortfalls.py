"""What fell short and why, in words that the measured rows choose and fill in."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from bench.placement.bars import LARGEST_DATA_SHARE, LEAST_GAP_CLOSED, Bar, bars
from bench.placement.estimates import estimate
from bench.placement.results import Results
from bench.placement.settings import MANY
from bench.placement.view import ALONE, META, RANDOM_WEIGHTS, STATIC, UNTRAINED, Figures, ResultView, apart
from lwmecps_core.statistics import share_of_gap

EQUAL_DATA = "multi_task_ppo_equal_data"


def section(results: Results, view: ResultView) -> Iterator[str]:
    """A line for every cause of missed bars and every job that failed; one sentence where there is none."""
    yield "\n## What fell short, and why\n"
    missed = [bar for bar in bars(view) if not bar.met]
    if not missed and not results["failed"]:
        yield "Nothing: every bar above is met."
    by_cause: dict[str, list[Bar]] = {}
    for bar in missed:
        by_cause.setdefault(CAUSES[bar.number](view, bar), []).append(bar)
    for cause, together in by_cause.items():
        demands = "; ".join(f"{bar.demand}: {bar.figure}" for bar in together)
        yield f"- **Bar {together[0].number}: {demands}.** {cause}"
    for failure in results["failed"]:
        yield f"- {failure['job']}: not measured ({failure['error']})."


def _support(view: ResultView, bar: Bar) -> str:
    """What the pairs below static owe to their start, to acting by chance, and to the steps, by algorithm."""
    pairs = [(f, m) for f in view.families for m in META if (d := view.over_static(f, m)) and d.mean < 0]
    if bar.family in bar.demand:
        pairs = [(bar.family, bar.method)]
    parts = []
    for algorithm in MANY:
        own = [_owed(view, f, m) for f, m in pairs if m.startswith(f"meta_{algorithm}_")]
        if own:
            start, exploring, stepping = (sum(column) / len(own) for column in zip(*own, strict=True))
            parts.append(f"{algorithm}, {len(own)}: {start:+.2f}, {exploring:+.2f}, {stepping:+.2f}")
    return (
        "For each algorithm the number of pairs below `static`, and what adds up to the difference, on average: how "
        "far the start is above `static` when it acts without chance; what acting by chance, which learning needs, "
        f"changes in the first support episodes; what the inner steps change in the later ones. {'; '.join(parts)}."
    )


def _owed(view: ResultView, family: str, method: str) -> tuple[float, float, float]:
    start, after_one, last = view.first(family, method), view.steps(family, method)[1], view.last(family, method)
    static = view.last(family, STATIC)
    assert start and static and last
    return (
        start["reward_mean"] - static["reward_mean"],
        after_one["support_mean"] - start["reward_mean"],
        last["support_mean"] - after_one["support_mean"],
    )


def _headline(view: ResultView, bar: Bar) -> str:
    """How much the start, the steps and a multi-task policy with equal data each close, and where the rest is lost."""
    first, last, equal = (
        view.first(bar.family, bar.method),
        view.last(bar.family, bar.method),
        view.last(bar.family, EQUAL_DATA),
    )
    alone, oracle = view.last(bar.family, ALONE), view.last(bar.family, "oracle")
    low = view.last(bar.family, RANDOM_WEIGHTS if "random weights" in bar.demand else UNTRAINED)
    assert first and last and alone and oracle and low
    if last["env_steps"] > LARGEST_DATA_SHARE * alone["env_steps"] and "of the data" in bar.demand:
        return "By design: it is measured for comparison with the method that takes one episode for each inner step."
    bottom, top = low["reward_mean"], oracle["reward_mean"]

    def share(row: Figures) -> float:
        return share_of_gap(row["reward_mean"], bottom, top)

    text = f"Of this gap the start closes {share(first):.1%}, the inner steps {share(last) - share(first):+.1%}"
    if equal:
        text += f"; a multi-task policy with as much training data closes {share(equal):.1%}"
    text += f", {ALONE} {share(alone):.1%}."
    behind = np.sort(apart(oracle, last).mean(0))[::-1]
    few = max(1, len(behind) // 5)
    lost = sum(behind[:few]) / sum(behind)
    return (
        f"{text} The fifth of the tasks that is farthest from the oracle makes up {lost:.0%} of what is missing; "
        f"without it the mean distance to the oracle is {sum(behind[few:]) / max(1, len(behind) - few):.2f} instead of "
        f"{sum(behind) / len(behind):.2f}; {LEAST_GAP_CLOSED:.0%} would be "
        f"{(1 - LEAST_GAP_CLOSED) * (top - bottom):.2f}."
    )


def _first_order(view: ResultView, bar: Bar) -> str:
    """Whether the difference is of the starts or of the steps."""
    second, first = (view.steps(bar.family, name) for name in ("meta_ppo_maml", "meta_ppo_fomaml"))
    starts = estimate(apart(second[0], first[0]))
    gains = [found.mean for row in (second[-1], first[-1]) if (found := view.gain(row))]
    return (
        f"Of the difference {starts.mean:+.2f} ± {starts.ci95:.2f} is there before the first step; the steps gain "
        f"{' with MAML and '.join(f'{gain:+.2f}' for gain in gains)} with FOMAML."
    )


def _improvement(view: ResultView, bar: Bar) -> str:
    """How much moved at all, how often the method went back, and what the start left to gain."""
    gains = view.gains(bar.method)
    moved = gains[gains != 0]
    better = (moved > 0).sum()
    shares = [s for f in view.families if (row := view.first(f, bar.method)) and (s := view.share(row)) is not None]
    start = f"; the start already closes {sum(shares) / len(shares):.0%} of the gap" if shares else ""
    size = abs(moved).sum() / max(1, len(moved))
    return (
        f"On {view.kept_start(bar.method):.0%} of the tasks the reward is exactly that of the start (the method went "
        f"back to it, or its steps changed no action); on the others it changes by {size:.2f} on average, upwards on "
        f"{better} of {len(moved)}{start}."
    )


def _alone(view: ResultView, bar: Bar) -> str:
    """Whether few tasks or all make up what is missing."""
    own, ppo = view.last(bar.family, bar.method), view.last(bar.family, ALONE)
    assert own and ppo
    ahead = np.sort(apart(own, ppo).mean(0))
    few = max(1, len(ahead) // 5)
    return (
        f"Ahead on {sum(a > 0 for a in ahead)} of {len(ahead)} tasks; the fifth on which it is farthest behind makes "
        f"up {sum(ahead[:few]) / sum(ahead):.0%} of the difference."
    )


def _beforehand(view: ResultView, bar: Bar) -> str:
    """What is left when the start is as far as this: the gain of adapting."""
    gain = estimate(view.gains(bar.method))
    return f"Adapting gains {gain.mean:+.2f} ± {gain.ci95:.2f} on it, over all families."


CAUSES: Mapping[int, Callable[[ResultView, Bar], str]] = {
    1: _support,
    2: _headline,
    3: _first_order,
    4: _improvement,
    5: _alone,
    6: _beforehand,
    7: _beforehand,
}
