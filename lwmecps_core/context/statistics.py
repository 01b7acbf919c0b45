"""Running statistics of what a cluster shows: nothing is learnt, a few hundred numbers are kept.

Of every deployment: how busy a request keeps replicas, rate, latency, failures, utilisation, and how its rate depends
on the time of day (a ridge regression of the logarithm of the rate on sine and cosine); of the whole: what the reward's
terms cost per unit of what they price. Means are over all intervals until there are `MOST`, then forget the oldest.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from math import exp, inf, log, prod, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import REWARD_TERMS, Seen
from lwmecps_core.compiling import KeptLoop, kept
from lwmecps_core.context.base import AnyArray, Blocks, Memory, blocks_by_entity
from lwmecps_core.sim.formulas import clip, compiled, log_share, log_weight
from lwmecps_core.sim.simulator import sources_digest
from lwmecps_core.specs import EnvSpec

Floats = NDArray[np.float64]

MOST = 1000.0
"""Intervals after which a mean forgets."""
SATURATED, LOSSY, SATURATED_WEIGHT = 0.9, 0.05, 0.01
"""Busy replicas say little about what requests cost where all of them are busy, or requests fail: from which
utilisation, from which failed share, how little.
"""
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
    """Where the blocks of an observation begin (-1: there are none) and how long a row of each is."""

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


@dataclass(frozen=True)
class Statistics:
    """The context `statistics`; see `lwmecps_core.context.base.Context`."""

    spec: EnvSpec

    @staticmethod
    def blocks(spec: EnvSpec) -> Blocks:
        """One block for each entity of the environment."""
        return blocks_by_entity(spec, GLOBAL, DEPLOYMENT, NODE, PAIR)

    def begin(self, width: int) -> Memory:
        """Nothing: means are 0, the least is +∞, the most −∞ or 0."""
        layout = self._layout
        d, n = layout.deployments, layout.nodes
        shapes: dict[str, tuple[int, ...]] = {
            "intervals": (),
            "clock": (2,),
            "turn": (2,),
            "overall": (3,),
            "terms": (len(REWARD_TERMS),),
            "serving": (d,),
            "times": (d, 5),
            "load": (d, 4),
            "load_range": (d, 2),
            "work": (d, 3),
            "latency": (d, 3),
            "failed": (d, 2),
            "utilisation": (d, 2),
        }
        if layout.node >= 0:
            shapes["node"] = (n, 3)
        if layout.pair >= 0:
            shapes["pair"] = (d, n, 2)
        memory = {name: np.zeros((width, *shape)) for name, shape in shapes.items()}
        memory["load_range"][..., 0], memory["load_range"][..., 1] = inf, -inf
        memory["latency"][..., 1], memory["latency"][..., 2] = inf, -inf
        return memory

    def update(self, memory: Memory, seen: Seen[AnyArray], where: AnyArray, features: AnyArray) -> None:
        """See `Context.update`."""
        _update_loop()(
            self.known(memory),
            self._layout,
            np.ascontiguousarray(seen.obs, np.float32),
            np.ascontiguousarray(seen.reward_terms, np.float32),
            np.ascontiguousarray(seen.first, np.bool_),
            where,
            features,
        )

    @staticmethod
    def known(memory: Memory) -> Known:
        """The arrays of a memory themselves, with empty ones where it has no nodes or pairs."""
        width = len(memory["intervals"])
        return Known(**{"node": np.zeros((width, 0, 3)), "pair": np.zeros((width, 0, 0, 2)), **memory})

    @cached_property
    def _layout(self) -> Layout:
        starts, at = {}, 0
        for name, shape in self.spec.blocks:
            starts[name] = (at, shape[-1])
            at += prod(shape)
        shapes = dict(self.spec.blocks)
        return Layout(
            shapes["deployment"][0],
            shapes.get("node", (0,))[0],
            *starts["deployment"],
            *starts.get("node", (-1, 0)),
            *starts.get("pair", (-1, 0)),
            *starts["limits"],
        )


@cache
def _update_loop() -> KeptLoop:
    """`update(known, layout, obs, terms, first, where, out)`, in place."""
    digest = sources_digest(__file__)

    def update(known: Any, at: Any, obs: Any, terms: Any, first: Any, where: Any, out: Any) -> int:
        for b in range(len(obs)):
            if not where[b]:
                continue
            if not first[b]:
                _take_in(known, at, b, obs[b], terms[b])
            known.clock[b, 0], known.clock[b, 1] = obs[b, SINE], obs[b, COSINE]
            out[b] = 0.0
            if known.intervals[b] > 0.0:
                _show(known, at, b, obs[b], out[b])
        return digest

    return kept(update)


@compiled
def _towards(means: Any, i: int, value: float, weight: float) -> None:
    means[i] += weight * (value - means[i])


@compiled
def _take_in(known: Any, at: Any, b: int, obs: Any, terms: Any) -> None:
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
        row = obs[at.deployment + d * at.deployment_row :]
        if row[LOG_RATE] > 0.0:
            _towards(known.failed[b, d], 0, row[OWN_FAILED], weight)
            known.failed[b, d, 1] = max(known.failed[b, d, 1], row[OWN_FAILED])
        if row[READY] > 0.0:
            _take_in_deployment(known, b, d, row, sine, cosine)
    if at.node >= 0:
        for n in range(at.nodes):
            row, mine = obs[at.node + n * at.node_row :], known.node[b, n]
            _towards(mine, 0, row[NODE_LOG_RATE], weight)
            _towards(mine, 1, row[NODE_CPU], weight)
            mine[2] = max(mine[2], row[NODE_CPU])
    if at.pair >= 0:
        for d in range(at.deployments):
            for n in range(at.nodes):
                row, pool = obs[at.pair + (d * at.nodes + n) * at.pair_row :], known.pair[b, d, n]
                _towards(pool, 0, row[PAIR_READY], weight)
                if row[PAIR_READY] > 0.0:
                    _towards(pool, 1, row[PAIR_UTILISATION], weight)


@compiled
def _take_in_deployment(known: Any, b: int, d: int, row: Any, sine: float, cosine: float) -> None:
    """One that has ready replicas: nothing is seen of the load of others, whose requests go elsewhere."""
    log_rate, log_latency = np.float64(row[LOG_RATE]), np.float64(row[OWN_LOG_LATENCY])
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
    telling = 1.0 if row[UTILISATION] < SATURATED and row[OWN_FAILED] < LOSSY else SATURATED_WEIGHT
    work[2] = min(work[2] + telling, MOST)
    _towards(work, 0, row[BUSY], telling / work[2])
    _towards(work, 1, exp(log_rate) - 1.0, telling / work[2])
    latency = known.latency[b, d]
    if log_latency != 0.0:
        _towards(latency, 0, log_latency, weight if latency[2] >= latency[1] else 1.0)
        latency[1], latency[2] = min(latency[1], log_latency), max(latency[2], log_latency)
    used = known.utilisation[b, d]
    _towards(used, 0, row[UTILISATION], weight)
    used[1] = max(used[1], row[UTILISATION])


@compiled
def _weight(priced: float) -> float:
    return log_weight(max(priced, 0.0))


@compiled
def _share(share: float) -> float:
    return clip(log_share(share))


@compiled
def _rate(log_rate: float) -> float:
    return clip((log_rate - USUAL_LOG_RATE) / SPREAD)


@compiled
def _latency(log_latency: float) -> float:
    return clip((log_latency - USUAL_LOG_LATENCY) / SPREAD)


@compiled
def _show(known: Any, at: Any, b: int, obs: Any, out: Any) -> None:
    """Write the features, block after block."""
    overall, terms = known.overall[b], known.terms[b]
    out[0] = log(1.0 + known.intervals[b]) / 4.0
    out[1] = _weight(-terms[TERM_REPLICAS] / overall[0]) if overall[0] > 0.0 else 0.0
    out[2] = _weight(-terms[TERM_LATENCY] / overall[1]) if overall[1] > 0.0 else 0.0
    out[3] = _weight(-terms[TERM_SLA] / overall[2]) if overall[2] > 0.0 else 0.0
    for i in range(5):
        out[4 + i] = clip(-terms[i])
    out[9] = _latency(log(overall[1])) if overall[1] > 0.0 else 0.0
    out[10] = overall[2]
    start = GLOBAL
    for d in range(at.deployments):
        row = obs[at.deployment + d * at.deployment_row :]
        scale = SCALE_REPLICAS * exp(np.float64(obs[at.limits + d * at.limits_row + LOG_MAX_REPLICAS]))
        _show_deployment(known, b, d, row, scale, out[start:])
        start += DEPLOYMENT
    if at.node >= 0:
        for n in range(at.nodes):
            for i in range(NODE):
                out[start + i] = clip(known.node[b, n, i])
            start += NODE
    if at.pair >= 0:
        for d in range(at.deployments):
            for n in range(at.nodes):
                out[start], out[start + 1] = known.pair[b, d, n, 0], known.pair[b, d, n, 1]
                start += PAIR


@compiled
def _show_deployment(known: Any, b: int, d: int, row: Any, max_replicas: float, out: Any) -> None:
    out[14], out[15] = known.failed[b, d, 0], known.failed[b, d, 1]
    if known.serving[b, d] == 0.0:
        return
    load, span, work, latency = known.load[b, d], known.load_range[b, d], known.work[b, d], known.latency[b, d]
    by_sine, by_cosine = slopes(known, b, d)
    sine, cosine = known.clock[b, 0], known.clock[b, 1]
    log_rate = np.float64(row[LOG_RATE])
    if row[READY] <= 0.0:  # what would arrive, by the time of day
        log_rate = load[0] + by_sine * (sine - known.times[b, d, 0]) + by_cosine * (cosine - known.times[b, d, 1])
    per_request = work[0] / work[1] if work[1] > 1e-6 else 0.0
    service_ms = 1000.0 * per_request * max_replicas
    out[0] = clip(log(service_ms / SCALE_SERVICE_MS)) if service_ms > 0.0 else 0.0
    out[1] = _share(per_request * max(exp(log_rate) - 1.0, 0.0))
    length = sqrt(known.turn[b, 0] ** 2 + known.turn[b, 1] ** 2)
    turn_c, turn_s = (known.turn[b, 0] / length, known.turn[b, 1] / length) if length > 0.0 else (1.0, 0.0)
    later_sine, later_cosine, step = sine, cosine, 0
    for i in range(len(AHEAD)):
        while step < AHEAD[i]:
            later_sine, later_cosine = (
                later_sine * turn_c + later_cosine * turn_s,
                later_cosine * turn_c - later_sine * turn_s,
            )
            step += 1
        change = clip(by_sine * (later_sine - sine) + by_cosine * (later_cosine - cosine))
        out[2 + i] = _share(per_request * max(exp(log_rate + change) - 1.0, 0.0))
    out[5] = _share(per_request * (exp(span[1]) - 1.0))
    out[6] = _share(per_request * work[1])
    out[7], out[8], out[9] = _rate(load[0]), _rate(span[0]), _rate(span[1])
    out[10] = sqrt(max(load[1] - load[0] * load[0], 0.0))
    if latency[2] >= latency[1]:
        out[11], out[12], out[13] = _latency(latency[0]), _latency(latency[1]), _latency(latency[2])
    out[16], out[17] = known.utilisation[b, d, 0], known.utilisation[b, d, 1]
    out[18] = log(1.0 + known.serving[b, d]) / 4.0


@compiled
def slopes(known: Any, b: int, d: int) -> tuple[float, float]:
    """Ridge regression of the log rate on sine and cosine of the time, about their means."""
    times, load = known.times[b, d], known.load[b, d]
    ridge = RIDGE / max(known.serving[b, d], 1.0)
    ss, cc = times[2] - times[0] * times[0] + ridge, times[4] - times[1] * times[1] + ridge
    sc = times[3] - times[0] * times[1]
    ys, yc = load[2] - load[0] * times[0], load[3] - load[0] * times[1]
    det = ss * cc - sc * sc
    return (cc * ys - sc * yc) / det, (ss * yc - sc * ys) / det
