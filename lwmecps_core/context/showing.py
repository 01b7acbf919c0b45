"""What running statistics show of what is known, as one compiled loop: see `statistics`."""

from functools import cache
from math import sqrt
from typing import Any

import numpy as np

from lwmecps_core.compiling import KeptLoop, kept
from lwmecps_core.context import known as keeping
from lwmecps_core.context.known import (
    AHEAD,
    COSINE,
    DEPLOYMENT,
    GLOBAL,
    LOG_MAX_REPLICAS,
    LOG_RATE,
    NODE,
    PAIR,
    READY,
    RIDGE,
    SCALE_REPLICAS,
    SCALE_SERVICE_MS,
    SINE,
    SPREAD,
    TERM_LATENCY,
    TERM_REPLICAS,
    TERM_SLA,
    USUAL_LOG_LATENCY,
    USUAL_LOG_RATE,
    take_in,
)
from lwmecps_core.sim import powers
from lwmecps_core.sim.formulas import clip, compiled
from lwmecps_core.sim.simulator import sources_digest

AT_ONCE = 256
"""Deployments that go through together."""
EXPS, LOGS, OVERALL_LOGS = 6, 8, 5
"""How many powers and logarithms a deployment's features need, and logarithms those of the whole."""
MOST_EXPONENT = 80.0
SHARE_ABOVE, WEIGHT_ABOVE = 0.02, 0.01
"""What is added before logarithms are taken: see `formulas.log_share`, `formulas.log_weight`."""


@cache
def update_loop() -> KeptLoop:
    """`update(known, layout, terms, first, where, shown)`, in place, some deployments at a time."""
    digest = sources_digest(__file__, keeping.__file__, powers.__file__)

    def update(known: Any, at: Any, terms: Any, first: Any, where: Any, shown: Any) -> int:
        most = max(1, AT_ONCE // at.deployments)
        room = np.empty((4, most * (OVERALL_LOGS + at.deployments * LOGS)), np.float32)
        bits, later = np.empty(room.shape[1], np.int32), np.empty((len(AHEAD), 2))
        rooms = (room, room.view(np.int32), (bits, bits.view(np.float32)), later)
        for start in range(0, len(shown), most):
            _update_some(known, at, terms, first, where, shown, start, min(start + most, len(shown)), rooms)
        return digest

    return kept(update)


@compiled
def _update_some(
    known: Any, at: Any, terms: Any, first: Any, where: Any, shown: Any, start: int, stop: int, rooms: Any
) -> None:
    """Take in and show environments `start` to `stop`.

    Powers and logarithms are those of all of them, one after the other: what is to be taken of is written down first.
    """
    d, c = at.deployments, stop - start
    room, whole, work, later = rooms
    n, m = c * (OVERALL_LOGS + d * LOGS), c * d * EXPS
    asked, found = room[0, :m].reshape((c, d, EXPS)), room[1, :m].reshape((c, d, EXPS))
    asked[:] = 0.0
    for b in range(start, stop):
        if where[b]:
            if not first[b]:
                take_in(known, at, b, shown[b], terms[b])
            known.clock[b, 0], known.clock[b, 1] = shown[b, SINE], shown[b, COSINE]
            _look_ahead(known, b, later)
            for i in range(d):
                _ask_exps(known, at, b, i, shown[b], later, asked[b - start, i])
    powers.exp(room[0, :m], room[1, :m], work)
    each = room[2, :n].reshape((c, OVERALL_LOGS + d * LOGS))
    for b in range(start, stop):
        mine = each[b - start]
        _ask_overall(known, b, mine)
        for i in range(d):
            _ask_logs(known, b, i, found[b - start, i], mine, OVERALL_LOGS + i * LOGS)
    powers.log((whole[2, :n], room[2, :n]), room[3, :n], work)
    logs = room[3, :n].reshape((c, OVERALL_LOGS + d * LOGS))
    for b in range(start, stop):
        if where[b]:
            shown[b, at.features :] = 0.0
            if known.intervals[b] > 0.0:
                _show(known, at, b, logs[b - start], shown[b])


@compiled
def _look_ahead(known: Any, b: int, later: Any) -> None:
    """Sine and cosine `[len(AHEAD), 2]` of the clock in the intervals of `AHEAD`."""
    length = sqrt(known.turn[b, 0] ** 2 + known.turn[b, 1] ** 2)
    turn_c, turn_s = (known.turn[b, 0] / length, known.turn[b, 1] / length) if length > 0.0 else (1.0, 0.0)
    sine, cosine, step = known.clock[b, 0], known.clock[b, 1], 0
    for i in range(len(AHEAD)):
        while step < AHEAD[i]:
            sine, cosine = sine * turn_c + cosine * turn_s, cosine * turn_c - sine * turn_s
            step += 1
        later[i, 0], later[i, 1] = sine, cosine


@compiled
def _ask_exps(known: Any, at: Any, b: int, d: int, obs: Any, later: Any, asked: Any) -> None:
    """Logarithms of: the rate now and in the intervals of `AHEAD`, the most of it, and the share of most replicas."""
    asked[5] = obs[at.limits + d * at.limits_row + LOG_MAX_REPLICAS]
    if known.serving[b, d] == 0.0:
        return
    row, load = at.deployment + d * at.deployment_row, known.load[b, d]
    by_sine, by_cosine = slopes(known, b, d)
    sine, cosine = known.clock[b, 0], known.clock[b, 1]
    log_rate = np.float64(obs[row + LOG_RATE])
    if obs[row + READY] <= 0.0:  # what would arrive, by the time of day
        log_rate = load[0] + by_sine * (sine - known.times[b, d, 0]) + by_cosine * (cosine - known.times[b, d, 1])
    asked[0] = min(log_rate, MOST_EXPONENT)
    for i in range(len(AHEAD)):
        change = clip(by_sine * (later[i, 0] - sine) + by_cosine * (later[i, 1] - cosine))
        asked[1 + i] = min(log_rate + change, MOST_EXPONENT)
    asked[4] = min(known.load_range[b, d, 1], MOST_EXPONENT)


@compiled
def _ask_logs(known: Any, b: int, d: int, rates: Any, asked: Any, at: int) -> None:
    """Of: the service time, shares of replicas (now, ahead, at most, on average), and how long it served."""
    if known.serving[b, d] == 0.0:
        asked[at : at + LOGS] = 1.0
        return
    work = known.work[b, d]
    per_request = work[0] / work[1] if work[1] > 1e-6 else 0.0
    service_ms = 1000.0 * per_request * SCALE_REPLICAS * rates[5]
    asked[at + 0] = service_ms / SCALE_SERVICE_MS if service_ms > 0.0 else 1.0
    for i in range(1 + len(AHEAD)):
        asked[at + 1 + i] = SHARE_ABOVE + per_request * max(rates[i] - 1.0, 0.0)
    asked[at + 5] = SHARE_ABOVE + per_request * (rates[4] - 1.0)
    asked[at + 6] = SHARE_ABOVE + per_request * work[1]
    asked[at + 7] = 1.0 + known.serving[b, d]


@compiled
def _ask_overall(known: Any, b: int, asked: Any) -> None:
    """Of: how many intervals there were, what the terms cost per unit of what they price, and latency."""
    overall, terms = known.overall[b], known.terms[b]
    asked[0] = 1.0 + known.intervals[b]
    asked[1] = WEIGHT_ABOVE + max(-terms[TERM_REPLICAS] / overall[0], 0.0) if overall[0] > 0.0 else 1.0
    asked[2] = WEIGHT_ABOVE + max(-terms[TERM_LATENCY] / overall[1], 0.0) if overall[1] > 0.0 else 1.0
    asked[3] = WEIGHT_ABOVE + max(-terms[TERM_SLA] / overall[2], 0.0) if overall[2] > 0.0 else 1.0
    asked[4] = overall[1] if overall[1] > 0.0 else 1.0


@compiled
def _rate(log_rate: float) -> float:
    return clip((log_rate - USUAL_LOG_RATE) / SPREAD)


@compiled
def _latency(log_latency: float) -> float:
    return clip((log_latency - USUAL_LOG_LATENCY) / SPREAD)


@compiled
def _show(known: Any, at: Any, b: int, logs: Any, out: Any) -> None:
    """Write the features, block after block."""
    overall, terms, start = known.overall[b], known.terms[b], at.features
    out[start + 0] = logs[0] / 4.0
    for i in range(3):
        out[start + 1 + i] = clip(0.5 * logs[1 + i])
    for i in range(5):
        out[start + 4 + i] = clip(-terms[i])
    out[start + 9] = _latency(logs[4]) if overall[1] > 0.0 else 0.0
    out[start + 10] = overall[2]
    start += GLOBAL
    for d in range(at.deployments):
        _show_deployment(known, b, d, logs, OVERALL_LOGS + d * LOGS, out, start)
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
def _show_deployment(known: Any, b: int, d: int, logs: Any, at: int, out: Any, start: int) -> None:
    out[start + 14], out[start + 15] = known.failed[b, d, 0], known.failed[b, d, 1]
    if known.serving[b, d] == 0.0:
        return
    load, span, latency = known.load[b, d], known.load_range[b, d], known.latency[b, d]
    out[start + 0] = clip(logs[at + 0])
    for i in range(6):
        out[start + 1 + i] = clip(2.0 + logs[at + 1 + i])
    out[start + 7], out[start + 8], out[start + 9] = _rate(load[0]), _rate(span[0]), _rate(span[1])
    out[start + 10] = sqrt(max(load[1] - load[0] * load[0], 0.0))
    if latency[2] >= latency[1]:
        out[start + 11], out[start + 12], out[start + 13] = (
            _latency(latency[0]),
            _latency(latency[1]),
            _latency(latency[2]),
        )
    out[start + 16], out[start + 17] = known.utilisation[b, d, 0], known.utilisation[b, d, 1]
    out[start + 18] = logs[at + 7] / 4.0


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
