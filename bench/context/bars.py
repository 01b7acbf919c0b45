"""The bars that the context is judged by, and what was measured beside each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.context.cells import ALONE, FLAGSHIP, ClusterKind
from bench.context.view import At, Evidence
from lwmecps_core.specs import FAMILIES

CONTEXT = At("context")
BLIND, MULTI_TASK, PRIVILEGED, ORACLE = At("blind"), At("multi_task"), At("privileged"), At("oracle")
CALIBRATED = At("hpa_calibrated")
MEMORIES = ("context", "recurrent")
"""Policies that remember the cluster: by running statistics, and by what they have learnt to remember."""
RIVALS = ("rate_rule_adapted", "hpa_tuned")
"""Rules that try settings out on the cluster."""
FLAGSHIP_PROBLEM = ClusterKind(family=FLAGSHIP)
LARGE = ClusterKind(family=FLAGSHIP, nodes=8, deployments=8)
Views = Mapping[ClusterKind, Evidence]


@dataclass(frozen=True)
class ContextBar:
    """A demand, what was measured, and whether that meets it."""

    demand: str
    figure: str
    met: bool


def bars(views: Views) -> list[ContextBar]:
    """All bars that there are figures for, of each memory that was measured."""
    found = list[ContextBar]()
    flagship = views.get(FLAGSHIP_PROBLEM)
    for memory in MEMORIES:
        if flagship and At(memory) in flagship:
            found += [*_first_episode(flagship, memory), *_second_episode(flagship, memory), *_tails(flagship, memory)]
        if LARGE in views:
            found += _large(views[LARGE], memory)
        found += [*_rivals(views, memory), *_anew(views, memory)]
    return found + (list(_learnt_memory(flagship)) if flagship else [])


def _first_episode(view: Evidence, memory: str) -> Iterator[ContextBar]:
    own = At(memory)
    for other, least in ((BLIND, 1.5), (MULTI_TASK, 0.5)):
        if other in view:
            d = view.difference(own, other)
            yield ContextBar(
                f"`{own.title}` over `{other.title}` by ≥ {least}, the interval without 0",
                f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]",
                d.mean >= least and d.low > 0,
            )
    if taught := view.of("adapted"):
        d = view.difference(own, taught[-1])
        yield ContextBar(
            f"`{own.title}` not below `{taught[-1].title}` (24 episodes): lower bound ≥ −0.3",
            f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]",
            d.low >= -0.3,
        )


def _second_episode(view: Evidence, memory: str) -> Iterator[ContextBar]:
    own, scratch = At(memory, 0, 2), view.of("scratch")
    if own not in view:
        return
    ends = [(scratch[-1], ORACLE, 0.9)] if scratch else []
    for low, high, least in (*ends, (CALIBRATED, ORACLE, 0.78), (BLIND, PRIVILEGED, 0.85)):
        if low in view and high in view:
            share = view.share(own, low, high)
            yield ContextBar(
                f"`{own.title}` ≥ {least:.0%} of `{low.title}` → `{high.title}`",
                f"{share.mean:.0%} [{share.low:.0%}, {share.high:.0%}]",
                share.mean >= least,
            )
    if steps := view.of(f"{memory}_fine_tuned"):
        best = max(steps, key=view.mean)
        d = view.difference(best, own)
        yield ContextBar(
            f"≤ 5 steps not worse than none: best (`{best.title}`) over `{own.title}`",
            f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]",
            d.high >= 0,
        )


def _tails(view: Evidence, memory: str) -> Iterator[ContextBar]:
    for at in (At(memory), At(memory, 0, 2)):
        if at in view and CALIBRATED in view:
            ahead = view.rewards(at) - view.rewards(CALIBRATED)
            below = float((ahead < 0).mean())
            yield ContextBar(
                f"`{at.title}` below `hpa_calibrated` on ≤ 5 % of tasks, on none by more than 3",
                f"{below:.1%} of {ahead.size} tasks and seeds; farthest {ahead.min():+.2f}; "
                f"{int((ahead < -3).sum())} by more than 3",
                below <= 0.05 and bool(ahead.min() >= -3),
            )


def _learnt_memory(view: Evidence) -> Iterator[ContextBar]:
    for episode in (1, 2):
        learnt, kept = At("recurrent", 0, episode), At("context", 0, episode)
        if learnt in view and kept in view:
            d = view.difference(learnt, kept)
            yield ContextBar(
                f"RL² within 0.5 of the statistics, episode {episode}",
                f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]",
                d.mean >= -0.5,
            )


def _large(view: Evidence, memory: str) -> Iterator[ContextBar]:
    for at in (At(memory), At(memory, 0, 2)):
        if at in view and CALIBRATED in view and ORACLE in view:
            share = view.share(at, CALIBRATED, ORACLE)
            yield ContextBar(
                f"trained on 4 × 4, acting on 8 × 8: `{at.title}` ≥ 70 % of `hpa_calibrated` → `oracle`",
                f"{share.mean:.0%} [{share.low:.0%}, {share.high:.0%}]",
                share.mean >= 0.7,
            )


def _rivals(views: Views, memory: str) -> Iterator[ContextBar]:
    """The best of the first five episodes, or of five steps where there are any, against rules that try things out."""
    for rival in RIVALS:
        above, below, parts = 0, 0, []
        for family in FAMILIES:
            view = views.get(ClusterKind(family=family))
            own = (view.of(f"{memory}_fine_tuned") or view.of(memory)) if view else []
            if view is None or not view.of(rival) or not own:
                continue
            d = view.difference(max(own, key=view.mean), view.of(rival)[-1])
            above, below = above + (d.low > 0), below + (d.high < 0)
            parts.append(f"{family} {d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]")
        if parts:
            yield ContextBar(
                f"best of `{memory}` within 5 episodes or steps over `{rival}`: significantly above on ≥ 3 families of "
                "5, below on none",
                f"{len(parts)} of {len(FAMILIES)} families measured: {'; '.join(parts)}",
                above >= 3 and not below,
            )


def _anew(views: Views, memory: str) -> Iterator[ContextBar]:
    """The first episode, without a step, against what learns from nothing in 100 episodes on the very cluster."""
    own = At(memory)
    held = [(family, view) for family in FAMILIES if (view := views.get(ClusterKind(family=family)))]
    ahead = {f: view.difference(own, alone) for f, view in held if own in view for alone in view.of(ALONE)}
    if ahead:
        parts = [f"{family} {d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]" for family, d in ahead.items()]
        yield ContextBar(
            f"`{own.title}` significantly below `{ALONE}` on no family",
            f"{len(parts)} of {len(FAMILIES)} families measured: {'; '.join(parts)}",
            all(d.high >= 0 for d in ahead.values()),
        )
