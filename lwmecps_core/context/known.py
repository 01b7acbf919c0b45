"""What running statistics keep of clusters, and how intervals are taken in: see `statistics`."""

from math import exp
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.sim.formulas import compiled

Floats = NDArray[np.float64]

MOST = 1000.0
"""Intervals after which a mean forgets."""
SATURATED, LOSSY, SATURATED_WEIGHT = 0.9, 0.05, 0.01
"""Busy replicas say little about what requests cost where all of them are busy, or requests fail: from which
utilisation, from which failed share, how little.
"""
COUNTS = ("intervals", "serving")
"""What is counted, so that it is no less than 0."""
MOST_SIZE = 1e9
"""Of any number that is kept: far more than anything has."""
RIDGE = 1.0
"""Of the regression on the time of day, in intervals seen."""
AHEAD = (1, 3, 8)
"""How many intervals ahead rates are forecast: start-up takes so long."""
SCALE_SERVICE_MS, SCALE_REPLICAS = 225.0, 8.0
SPREAD, USUAL_LOG_RATE, USUAL_LOG_LATENCY = 2.0, 2.5, 1.5
"""Logarithms are shown as (x − usual) / spread: a common offset of several units made PPO's training unstable."""

# Columns of an observation's blocks (`lwmecps_core.envs.observation`).
SINE, COSINE, REPLICAS, LOG_LATENCY, FAILED = range(5)
READY, UTILISATION, BUSY, LOG_RATE, OWN_LOG_LATENCY, OWN_FAILED = 0, 3, 4, 5, 7, 8
NODE_CPU, NODE_LOG_RATE = 0, 4
PAIR_READY, PAIR_UTILISATION = 0, 3
LOG_MAX_REPLICAS = 1
# The reward's terms.
TERM_LATENCY, TERM_REPLICAS, TERM_IMBALANCE, TERM_SLA, TERM_MOVES = range(5)

GLOBAL, DEPLOYMENT, NODE, PAIR = 11, 19, 3, 2


class Known(NamedTuple):
    """What is kept, float64; means unless it says otherwise.

    intervals `[B]` seen, at most `MOST`; clock `[B, 2]` sine and cosine of the newest; turn `[B, 2]` cosine and sine of
    the angle from one to the next; overall `[B, 3]` replicas (share), latency (100 ms), failed share; terms `[B, 5]` of
    the reward.

    Per deployment, of the intervals in which it had ready replicas: serving `[B, D]` how many, at most `MOST`; times
    `[B, D, 5]` sine, cosine, sine², sine·cosine, cosine²; load `[B, D, 4]` log rate, its square, times sine, times
    cosine; least and most log rate `[B, D, 2]`; work `[B, D, 3]` busy share, rate (1/s), and the weight of both;
    latency `[B, D, 3]` log of it over 100 ms (mean, least, most); utilisation `[B, D, 2]` mean and most; and, of all
    intervals with requests, failed `[B, D, 2]` mean and most.

    node `[B, N, 3]` log rate of its users, CPU used (mean, most); pair `[B, D, N, 2]` ready share, utilisation of ready
    replicas.
    """

    intervals: Floats
    clock: Floats
    turn: Floats
    overall: Floats
    terms: Floats
    serving: Floats
    times: Floats
    load: Floats
    load_range: Floats
    work: Floats
    latency: Floats
    failed: Floats
    utilisation: Floats
    node: Floats
    pair: Floats


class Layout(NamedTuple):
    """Where the blocks of an observation begin (-1: there are none) and how long a row of each is; where it ends."""

    deployments: int
    nodes: int
    deployment: int
    deployment_row: int
    node: int
    node_row: int
    pair: int
    pair_row: int
    limits: int
    limits_row: int
    features: int


@compiled
def _towards(means: Any, i: int, value: float, weight: float) -> None:
    means[i] += weight * (value - means[i])


@compiled
def take_in(known: Any, at: Any, b: int, obs: Any, terms: Any) -> None:
    """Let the means follow one interval, and the extremes."""
    count = min(known.intervals[b] + 1.0, MOST)
    known.intervals[b], weight = count, 1.0 / count
    sine, cosine = np.float64(obs[SINE]), np.float64(obs[COSINE])
    last_sine, last_cosine = known.clock[b, 0], known.clock[b, 1]
    _towards(known.turn[b], 0, cosine * last_cosine + sine * last_sine, weight)
    _towards(known.turn[b], 1, sine * last_cosine - cosine * last_sine, weight)
    log_latency = np.float64(obs[LOG_LATENCY])
    _towards(known.overall[b], 0, obs[REPLICAS], weight)
    _towards(known.overall[b], 1, exp(log_latency) if log_latency != 0.0 else 0.0, weight)
    _towards(known.overall[b], 2, obs[FAILED], weight)
    for i in range(len(terms)):
        _towards(known.terms[b], i, terms[i], weight)
    for d in range(at.deployments):
        row = at.deployment + d * at.deployment_row
        if obs[row + LOG_RATE] > 0.0:
            _towards(known.failed[b, d], 0, obs[row + OWN_FAILED], weight)
            known.failed[b, d, 1] = max(known.failed[b, d, 1], obs[row + OWN_FAILED])
        if obs[row + READY] > 0.0:
            _take_in_deployment(known, b, d, obs, row, sine, cosine)
    if at.node >= 0:
        for n in range(at.nodes):
            row, mine = at.node + n * at.node_row, known.node[b, n]
            _towards(mine, 0, obs[row + NODE_LOG_RATE], weight)
            _towards(mine, 1, obs[row + NODE_CPU], weight)
            mine[2] = max(mine[2], obs[row + NODE_CPU])
    if at.pair >= 0:
        for d in range(at.deployments):
            for n in range(at.nodes):
                row, pool = at.pair + (d * at.nodes + n) * at.pair_row, known.pair[b, d, n]
                _towards(pool, 0, obs[row + PAIR_READY], weight)
                if obs[row + PAIR_READY] > 0.0:
                    _towards(pool, 1, obs[row + PAIR_UTILISATION], weight)


@compiled
def _take_in_deployment(known: Any, b: int, d: int, obs: Any, row: int, sine: float, cosine: float) -> None:
    """One that has ready replicas: nothing is seen of the load of others, whose requests go elsewhere."""
    log_rate, log_latency = np.float64(obs[row + LOG_RATE]), np.float64(obs[row + OWN_LOG_LATENCY])
    load, span, work, times = known.load[b, d], known.load_range[b, d], known.work[b, d], known.times[b, d]
    known.serving[b, d] = min(known.serving[b, d] + 1.0, MOST)
    weight = 1.0 / known.serving[b, d]
    _towards(times, 0, sine, weight)
    _towards(times, 1, cosine, weight)
    _towards(times, 2, sine * sine, weight)
    _towards(times, 3, sine * cosine, weight)
    _towards(times, 4, cosine * cosine, weight)
    _towards(load, 0, log_rate, weight)
    _towards(load, 1, log_rate * log_rate, weight)
    _towards(load, 2, log_rate * sine, weight)
    _towards(load, 3, log_rate * cosine, weight)
    span[0], span[1] = min(span[0], log_rate), max(span[1], log_rate)
    telling = 1.0 if obs[row + UTILISATION] < SATURATED and obs[row + OWN_FAILED] < LOSSY else SATURATED_WEIGHT
    work[2] = min(work[2] + telling, MOST)
    _towards(work, 0, obs[row + BUSY], telling / work[2])
    _towards(work, 1, exp(log_rate) - 1.0, telling / work[2])
    latency = known.latency[b, d]
    if log_latency != 0.0:
        _towards(latency, 0, log_latency, weight if latency[2] >= latency[1] else 1.0)
        latency[1], latency[2] = min(latency[1], log_latency), max(latency[2], log_latency)
    used = known.utilisation[b, d]
    _towards(used, 0, obs[row + UTILISATION], weight)
    used[1] = max(used[1], obs[row + UTILISATION])
