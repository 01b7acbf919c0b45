"""The formulas of the model, compiled: random draws, queues, timeouts, the predecessor's test application, and the
scales on which observations show quantities.

Sources: splitmix64 (Steele et al. 2014); Pollaczek–Khinchine; Sakasegawa (1977); Allen and Cunneen's approximation;
Avi-Itzhak and Halfin (1988) for limited processor sharing; Wilson and Hilferty (1931) for percentiles.
"""

from collections.abc import Callable
from math import log, sqrt
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a part of the model with numba.

    Inlining makes it twice as fast. Nothing here allocates, so numba's runtime for that (`_nrt`), which would count the
    references of every view of an array, is off.
    """
    fast = {"contract", "arcp", "nsz", "reassoc"}
    untyped: dict[str, Any] = {"_nrt": False}
    return cast(F, njit(nogil=True, error_model="numpy", forceinline=True, fastmath=fast, **untyped)(function))


MAX_UTILISATION = 0.98
NO_TAIL = 35.0
"""A tail of exp(-35) is as good as none: exponents are taken no further."""

REQUEST_UNITS, DECAY_UNITS, CPU_UNITS, RAM_UNITS = 3.5, 100.0, 200.0, 256.0
"""The test application: mean units a request adds, units one decay removes, limits of its two counters."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@compiled
def mix(z: Any) -> Any:
    """Splitmix64's finaliser of a uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled
def step_key(seed: Any, step: Any) -> Any:
    """The uint64 from which all draws of one step of an episode are made."""
    return mix(mix(seed + GOLDEN) + np.uint64(step) * GOLDEN)


@compiled
def uniform(key: Any, node: int, draw: int) -> float:
    """A uniform number in [0, 1) that is a function of (seed, step, node, draw) only; `key` is `step_key`'s."""
    z = mix(key + np.uint64(2 * node + draw + 1) * GOLDEN)
    return np.float64(z >> np.uint64(11)) * 2.0**-53


@compiled
def waiting(rho: float, servers: float, service_ms: float, variability: float) -> Any:
    """Mean wait (ms), probability of waiting and decay rate of the wait's tail (1/ms) in a queue M/G/servers.

    Mean = s ρ^(√(2(k+1))−1) / (k (1−ρ)) × (1+cv²)/2: Sakasegawa's M/M/k times Allen and Cunneen's factor; k = 1 is
    Pollaczek–Khinchine. The tail is P(wait > t) = p exp(−t p / mean) (conditionally exponential).
    """
    return unlimited_waiting(min(rho, MAX_UTILISATION), servers, service_ms, variability)


@compiled
def unlimited_waiting(rho: float, servers: float, service_ms: float, variability: float) -> Any:
    """`waiting` at any utilisation: from 1 on, mean and decay are negative, as what bounds the queue needs them."""
    if rho <= 0.0:
        return 0.0, 0.0, 1.0
    p = rho if servers == 1.0 else rho ** (sqrt(2.0 * (servers + 1.0)) - 1.0)
    decay = servers * (1.0 - rho) / (service_ms * variability)
    return p / decay, p, decay


@compiled
def in_order(rho: float, cores: float, slots: float) -> float:
    """How far a pod that has `cores` and takes `slots` requests at once serves them in the order of their coming.

    From 0 to 1, ρ^(slots − cores): 1 where each has a core for itself (first come, first served), 0 where any number
    share them (processor sharing, whose mean doesn't depend on how service varies). Avi-Itzhak and Halfin (1988), for
    one core.
    """
    return 1.0 if slots <= cores else min(max(rho, 0.0), MAX_UTILISATION) ** (slots - cores)


@compiled
def gamma_p95(mean: float, variance: float) -> float:
    """95th percentile of a gamma distribution (Wilson and Hilferty 1931): at most 7 % off from a shape of 1/4 on."""
    if variance <= 0.0:
        return mean
    ninth = variance / (9.0 * mean * mean)
    root = 1.0 - ninth + 1.6449 * sqrt(ninth)
    return mean * max(root, 0.0) ** 3


@compiled
def sojourn_p95(
    service_ms: float, cv2: float, wait_ms: float, p: float, decay: float, order: float, rho: float, cores: float
) -> float:
    """95th percentile of waiting and service together (ms), with `waiting`'s mean, probability and decay.

    A gamma distribution of the same mean and variance: the wait's and the service's where requests are served in
    order, and where they share, that of the M/M/1 queue (2 + c) / (2 − c), with c = ρ^cores for ρ, scaled by the
    service's cv² and with 0.8 c for what others add to a service that never varies. Where service hardly varies and is
    in order, most requests take exactly the same time: there it is the wait's own percentile. Held against simulated
    queues in `tests/sim/test_queueing.py`.
    """
    mean = service_ms + wait_ms
    variance = p * (2.0 - p) / (decay * decay) + service_ms * service_ms * cv2
    if order < 1.0:
        c = min(rho, 1.0) ** cores
        shared = mean * mean * (cv2 * (2.0 + c) / (2.0 - c) + 0.8 * c * max(0.0, 1.0 - cv2))
        variance = order * variance + (1.0 - order) * shared
    fixed = order * max(0.0, 1.0 - 2.0 * sqrt(cv2)) if cv2 < 0.25 else 0.0
    if fixed <= 0.0:
        return gamma_p95(mean, variance)
    own = service_ms + (log(20.0 * p) / decay if p > 0.05 else 0.0)
    return (1.0 - fixed) * gamma_p95(mean, variance) + fixed * own


@compiled
def burst_p95(work_ms: float, cv2: float, requests: float, pods: float, evenly: bool) -> float:
    """95th percentile of waiting and service (ms) of `requests` that come at once to `pods`, each of which takes
    `work_ms` for one.

    How many others a request meets at its pod is binomial (behind a random balancer) or the same for all (`evenly`),
    and its place among them any. Mean and variance of the work up to its end, as a gamma distribution; no more than the
    last one's end, as another.
    """
    others = max(0.0, requests / pods - 1.0) if evenly else max(0.0, requests - 1.0) / pods
    varies = 0.0 if evenly else others * (1.0 - 1.0 / pods)
    place = 1.0 + others / 2.0
    variance = (others * (others + 2.0) + varies) / 12.0 + varies / 4.0 + cv2 * place
    all_done = gamma_p95(1.0 + others, varies + cv2 * (1.0 + others))
    return work_ms * min(gamma_p95(place, variance), all_done)


@compiled
def exp_minus(x: float) -> float:
    """exp(-x) for |x| <= 35, at most 1e-12 off: seven terms of Taylor's series for exp(-x / 64), squared six times.

    The innermost loop needs it, and a call of the library's exp there saves and restores every register: 10 % slower.
    """
    y = -max(min(x, NO_TAIL), -NO_TAIL) / 64.0
    power = 1.0 + y / 5.0 * (1.0 + y / 6.0 * (1.0 + y / 7.0))
    power = 1.0 + y * (1.0 + y / 2.0 * (1.0 + y / 3.0 * (1.0 + y / 4.0 * power)))
    for _ in range(6):
        power *= power
    return power


@compiled
def outcome(
    base_ms: float, wait_ms: float, p: float, decay: float, timeout_ms: float, burst: int, leaving: float
) -> Any:
    """Mean latency (ms), at most the timeout, and probability that it exceeds the timeout; `base_ms` is certain.

    `leaving` is ρ² where the queue is rid of those who have stopped waiting, else 0: then the tail G of latency becomes
    (G − c) / (1 − c), with c = ρ² times what the tail leaves beyond the timeout. Of M/M/1 whose customers leave the
    line after a fixed time that is exact (Barrer 1957).
    """
    tail = exp_minus(max(0.0, timeout_ms - base_ms) * decay)
    return outcome_of(tail, base_ms, wait_ms, p, timeout_ms, burst, leaving)


@compiled
def outcome_of(
    tail: float, base_ms: float, wait_ms: float, p: float, timeout_ms: float, burst: int, leaving: float
) -> Any:
    """`outcome`, where `tail` is known: what the wait's tail leaves beyond the timeout, exp(-decay × time left)."""
    left = max(0.0, timeout_ms - base_ms)
    if burst == 1:
        over = max(0.0, 1.0 - left / (2.0 * wait_ms)) if wait_ms > 0.0 else 0.0
        mean_ms, fails = wait_ms * (1.0 - over * over), over
    else:
        mean_ms, fails = wait_ms * (1.0 - tail), p * tail
        if leaving > 0.0:
            gone = leaving * fails
            mean_ms, fails = (mean_ms - gone * left) / (1.0 - gone), (fails - gone) / (1.0 - gone)
    return min(base_ms, timeout_ms) + mean_ms, (fails if left > 0.0 else 1.0)


@compiled
def test_sleep(cpu: float, ram: float) -> Any:
    """Mean load of the test application's counters and how long a request sleeps at it (ms)."""
    load = (min(cpu, CPU_UNITS) / CPU_UNITS + min(ram, RAM_UNITS) / RAM_UNITS) / 2.0
    return load, (500.0 * (0.05 + 3.0 * (load - 0.7)) if load > 0.7 else 0.0)


@compiled
def test_application(flow: Any, pool: Any, service_ms: float, interval_s: float, burst: int) -> None:
    """The predecessor's test server: counters that requests fill and at most one decay per second empties.

    Requests at once meet one decay; spread over the interval they meet one per second, at most one per request. The
    sleep is averaged over the interval's requests by Simpson's rule.
    """
    each = flow.requests / flow.ready
    decay = DECAY_UNITS * (min(1.0, each) if burst == 1 else min(interval_s, each))
    if burst == 1:
        first_cpu, first_ram = max(0.0, pool.backlog - decay), max(0.0, pool.backlog_ram - decay)
        last_cpu = min(CPU_UNITS, first_cpu + REQUEST_UNITS * each)
        last_ram = min(RAM_UNITS, first_ram + REQUEST_UNITS * each)
    else:
        first_cpu, first_ram = pool.backlog, pool.backlog_ram
        last_cpu = min(CPU_UNITS, max(0.0, first_cpu + REQUEST_UNITS * each - decay))
        last_ram = min(RAM_UNITS, max(0.0, first_ram + REQUEST_UNITS * each - decay))
    load_a, sleep_a = test_sleep(first_cpu, first_ram)
    load_m, sleep_m = test_sleep(
        min(CPU_UNITS, (first_cpu + last_cpu) / 2.0), min(RAM_UNITS, (first_ram + last_ram) / 2.0)
    )
    load_b, sleep_b = test_sleep(last_cpu, last_ram)
    pool.backlog, pool.backlog_ram = last_cpu, last_ram
    pool.utilisation = (load_a + 4.0 * load_m + load_b) / 6.0
    flow.base_ms = service_ms + (sleep_a + 4.0 * sleep_m + sleep_b) / 6.0
    flow.wait_ms, flow.p_wait, flow.decay, flow.more_p95_ms, flow.dropped = 0.0, 0.0, 1.0, 0.0, 0.0


BOUND = 10.0
"""Of every number in an observation."""


@compiled
def clip(value: float) -> float:
    """`value` within the bounds of an observation."""
    return min(max(value, -BOUND), BOUND)


@compiled
def log_weight(weight: float) -> float:
    """A weight of the objective, which may be 0, on a scale where ratios are differences."""
    return clip(0.5 * log(0.01 + weight))


@compiled
def log_share(share: float) -> float:
    """A share of the replicas on a scale where ratios are differences."""
    return 2.0 + log(0.02 + share)
