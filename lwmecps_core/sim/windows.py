"""How much requests of the latest window have of the bounds of an objective: by how much they miss them, or don't."""

from math import log
from typing import Any

from lwmecps_core.sim.formulas import compiled
from lwmecps_core.sim.state import EACH, OVERALL, Params, State

NOBODY = 1e-9
"""So few requests are none: what is left of the sums of a window that has passed."""
LEAST = 0.05
"""Of a bound: less isn't told from it."""
DEPTH = 0.25
"""What each e-fold excess counts for beside that there is one."""
MISSED = 0.05
"""Where so many requests fail, the 95th percentile is their timeout."""


@compiled
def take_in(p: Params, s: State, k: int, b: int, g: int, requests: float, failed: float, p95: float) -> None:
    """Count the requests of an interval in the window of group `g`, in the place of those that leave it."""
    window, total = p.tasks[k].window, s.windows[b, g, 0]
    if window > 0:
        oldest = s.windows[b, g, 1 + s.envs[b].t % window]
        total.requests -= oldest.requests
        total.failed -= oldest.failed
        total.p95 -= oldest.p95
        oldest.requests, oldest.failed, oldest.p95 = requests, failed, p95
    total.requests += requests
    total.failed += failed
    total.p95 += p95


@compiled
def take_in_deployment(p: Params, s: State, k: int, b: int, d: int, sums: Any) -> None:
    """Count a deployment's requests in its own window; `sums` are `kernel.serve`'s."""
    _, failed, p95, timeouts, requests = sums
    late = timeouts if failed >= MISSED * requests else p95
    take_in(p, s, k, b, d, requests, failed, late)
    s.deployments[b, d].p95_ms = late / max(requests, NOBODY)


@compiled
def judge(p: Params, s: State, k: int, b: int, requests: float, failed: float, p95: float) -> None:
    """Write what the worst group's window has of the bounds, as logarithms of its shares; above 0 it misses them.

    Where bounds are for all requests together, these are counted first: the interval's, their share that failed, and
    their 95th percentile.
    """
    task, env = p.tasks[k], s.envs[b]
    if task.slo == OVERALL:
        take_in(p, s, k, b, 0, requests, failed * requests, p95 * requests)
    too_many, too_slow = LEAST, LEAST
    for g in range(s.pools.shape[1] if task.slo == EACH else 1):
        total = s.windows[b, g, 0]
        if total.requests > NOBODY:
            too_many = max(too_many, total.failed / total.requests / task.bound_failed)
            too_slow = max(too_slow, total.p95 / total.requests / task.bound_p95_ms)
    env.excess_failed, env.excess_p95 = log(too_many), log(too_slow)


@compiled
def charge(excess: float) -> float:
    """What a window that has so much of a bound is charged: nothing where it holds, else 1 and more with the excess.

    What is signed is how many windows miss, not by how much; but who misses all must still see which way is better.
    """
    return 1.0 + DEPTH * excess if excess > 0.0 else 0.0


@compiled
def forget(s: State, b: int) -> None:
    """A window begins: what an episode begins with is nobody's doing."""
    for g in range(s.windows.shape[1]):
        for i in range(s.windows.shape[2]):
            total = s.windows[b, g, i]
            total.requests, total.failed, total.p95 = 0.0, 0.0, 0.0
    s.envs[b].excess_failed, s.envs[b].excess_p95 = log(LEAST), log(LEAST)
