"""How requests fare that have been sent to pools and queued there: latency and failures over stations and pools.

Deployments that call others are served after those: an answer takes as long as the own service and the answers to its
calls, one after the other. A caller holds no thread while it waits for them.
"""

from math import log, sqrt
from typing import Any

from lwmecps_core.sim.formulas import compiled, exp_minus, outcome, outcome_of
from lwmecps_core.sim.state import EACH, LOCAL_FIRST, VECTOR, Params, State, Work
from lwmecps_core.sim.windows import take_in_deployment

MAX_CONGESTION = 0.95
USERS, CALLERS = 0, 1
"""Who sends a request from a node: the users of its station, or pods on it."""


@compiled
def note(p: Params, s: State, k: int, b: int, d: int, requests: float, latency: float, failed: float) -> None:
    """Keep what a deployment's requests came to: how many, and the sums of latency (ms) and failures."""
    row = s.deployments[b, d]
    log_rate = log(1.0 + requests / p.tasks[k].interval_s)
    row.log_rate_change = log_rate - row.log_rate if s.envs[b].t > 0 else 0.0
    row.rate, row.log_rate = requests / p.tasks[k].interval_s, log_rate
    row.latency_ms = latency / requests if requests > 0.0 else 0.0
    row.failed_share = failed / requests if requests > 0.0 else 0.0


@compiled
def at_pool(p: Params, s: State, k: int, b: int, flow: Any) -> float:
    """How long requests take at a pool and in its node's network (ms), without waiting."""
    n = flow.node
    load = min(max(s.nodes[b, n].tx_used, s.nodes[b, n].rx_used), MAX_CONGESTION)
    here_ms: float = flow.base_ms + p.nodes[k, n].access_ms * load / (1.0 - load)
    return here_ms


@compiled
def find_tails(p: Params, s: State, w: Work, k: int, b: int, worker: int, d: int) -> None:
    """What the tail of each pool's wait leaves beyond the timeout, for each station: all powers of e in one loop, which
    a compiler turns into one of vectors.

    The time left is `outcome`'s to the last bit: written as there, sums would be taken in another order.
    """
    dep, n_nodes = p.deployments[k, d], w.arrivals.shape[2]
    tails, count = w.tails[worker], w.active[worker, d]
    for i in range(count):
        flow = w.flows[worker, d, i]
        here_ms = at_pool(p, s, k, b, flow)
        for m in range(n_nodes):
            base_ms = here_ms + p.nodes[k, m].access_ms + p.rtt_ms[k, flow.node, m]
            tails[i * n_nodes + m] = (dep.timeout_ms - min(base_ms, dep.timeout_ms)) * flow.decay
    for j in range((count * n_nodes + VECTOR - 1) // VECTOR * VECTOR):
        tails[j] = exp_minus(tails[j])


@compiled
def serve(p: Params, s: State, w: Work, k: int, b: int, worker: int, d: int, ready: float) -> Any:
    """Latency and failures of one deployment's requests over stations and pools.

    Returns the sums over requests of latency (ms), failures, 95th percentile (ms) and timeout (ms), and the requests.
    """
    task, dep, n_nodes = p.tasks[k], p.deployments[k, d], w.arrivals.shape[2]
    requests, latency, failed, p95 = 0.0, 0.0, 0.0, 0.0
    for m in range(n_nodes):
        requests += w.arrivals[worker, d, m]
    if w.active[worker, d] == 0:
        latency, failed, p95 = requests * dep.timeout_ms, requests, requests * dep.timeout_ms
    find_tails(p, s, w, k, b, worker, d)
    for i in range(w.active[worker, d]):
        flow = w.flows[worker, d, i]
        n, part, here_ms = flow.node, flow.ready / ready, at_pool(p, s, k, b, flow)
        kept = 1.0 - flow.dropped
        for m in range(n_nodes):
            amount = w.sent[worker, d, i, m] if task.routing == LOCAL_FIRST else w.arrivals[worker, d, m] * part
            base_ms = here_ms + p.nodes[k, m].access_ms + p.rtt_ms[k, n, m]
            tail = w.tails[worker, i * n_nodes + m]
            mean_ms, fails = outcome_of(
                tail, base_ms, flow.wait_ms, flow.p_wait, dep.timeout_ms, task.burst, flow.leaving
            )
            latency += amount * (flow.dropped * dep.timeout_ms + kept * mean_ms)
            failed += amount * (flow.dropped + kept * fails)
            p95 += amount * min(dep.timeout_ms, base_ms + flow.more_p95_ms)
    note(p, s, k, b, d, requests, latency, failed)
    return latency, failed, p95, requests * dep.timeout_ms, requests


@compiled
def keep_users(w: Work, worker: int) -> None:
    """Keep what users send, before pods call."""
    for d in range(w.arrivals.shape[1]):
        for m in range(w.arrivals.shape[2]):
            w.users[worker, d, m] = w.arrivals[worker, d, m]


@compiled
def call(p: Params, s: State, w: Work, k: int, b: int, worker: int, d: int) -> None:
    """Let the requests that a deployment's pools have served in the interval call others, from the pools' nodes."""
    interval_ms = p.tasks[k].interval_s * 1000.0
    for i in range(w.active[worker, d]):
        flow = w.flows[worker, d, i]
        served = flow.requests
        if p.tasks[k].testapp == 0:
            busy = s.pools[b, d, flow.node].utilisation / p.deployments[k, d].busy_share
            served = busy * flow.ready * p.deployments[k, d].pod_rate * interval_ms
        for other in range(w.active.shape[1]):
            w.arrivals[worker, other, flow.node] += served * p.calls[k, d, other]


@compiled
def called(p: Params, w: Work, k: int, worker: int, d: int, n: int) -> Any:
    """What a request to a deployment at node n adds by its calls: mean latency (ms), the probability that none fails,
    and the sum of squares of what their 95th percentiles are beyond their means.
    """
    more_ms, kept, squares = 0.0, 1.0, 0.0
    for other in range(w.active.shape[1]):
        times = p.calls[k, d, other]
        if times > 0.0:
            mean_ms = w.answers[worker, 0, other, n]
            more_ms += times * mean_ms
            kept *= (1.0 - w.answers[worker, 1, other, n]) ** times
            squares += times * max(0.0, w.answers[worker, 2, other, n] - mean_ms) ** 2
    return more_ms, kept, squares


@compiled
def serve_callers(p: Params, s: State, w: Work, k: int, b: int, worker: int, d: int, ready: float) -> Any:
    """`serve` where deployments call others: `d` after all that it calls; returns the sums over its users' requests.

    The state keeps what all of its requests came to, and `Work.answers` how calls from each node fared. The 95th
    percentile adds means, and what percentiles are beyond them as if they were independent and normal.
    """
    task, dep, n_nodes = p.tasks[k], p.deployments[k, d], w.arrivals.shape[2]
    arrivals, users, answers = w.arrivals[worker, d], w.users[worker, d], w.answers[worker, :, d]
    requests, latency, failed, p95 = 0.0, 0.0, 0.0, 0.0
    total, all_ms, all_failed, all_p95 = 0.0, 0.0, 0.0, 0.0
    lost = w.active[worker, d] == 0
    for m in range(n_nodes):
        requests += users[m]
        total += arrivals[m]
        answers[0, m] = answers[2, m] = dep.timeout_ms if lost else 0.0
        answers[1, m] = 1.0 if lost else 0.0
    if lost:
        latency, failed, p95 = requests * dep.timeout_ms, requests, requests * dep.timeout_ms
        all_ms, all_failed, all_p95 = total * dep.timeout_ms, total, total * dep.timeout_ms
    for i in range(w.active[worker, d]):
        flow = w.flows[worker, d, i]
        n, part, kept = flow.node, flow.ready / ready, 1.0 - flow.dropped
        more_ms, none_fails, squares = called(p, w, k, worker, d, n)
        load = min(max(s.nodes[b, n].tx_used, s.nodes[b, n].rx_used), MAX_CONGESTION)
        here_ms = flow.base_ms + p.nodes[k, n].access_ms * load / (1.0 - load) + more_ms
        waits_ms = min(max(flow.wait_ms, 0.0), flow.more_p95_ms)
        more_p95_ms = waits_ms + sqrt((flow.more_p95_ms - waits_ms) ** 2 + squares)
        for m in range(n_nodes):
            if task.routing == LOCAL_FIRST:
                part = w.sent[worker, d, i, m] / arrivals[m] if arrivals[m] > 0.0 else 0.0
            for sender in (USERS, CALLERS):
                base_ms = here_ms + p.rtt_ms[k, n, m] + (p.nodes[k, m].access_ms if sender == USERS else 0.0)
                mean_ms, fails = outcome(
                    base_ms, flow.wait_ms, flow.p_wait, flow.decay, dep.timeout_ms, task.burst, flow.leaving
                )
                mean_ms = flow.dropped * dep.timeout_ms + kept * mean_ms
                fails = flow.dropped + kept * (1.0 - (1.0 - fails) * none_fails)
                late_ms = min(dep.timeout_ms, base_ms + more_p95_ms)
                amount = part * (users[m] if sender == USERS else arrivals[m] - users[m])
                all_ms, all_failed = all_ms + amount * mean_ms, all_failed + amount * fails
                all_p95 += amount * late_ms
                if sender == USERS:
                    latency, failed, p95 = latency + amount * mean_ms, failed + amount * fails, p95 + amount * late_ms
                else:
                    answers[0, m] += part * mean_ms
                    answers[1, m] += part * fails
                    answers[2, m] += part * late_ms
    note(p, s, k, b, d, total, all_ms, all_failed)
    if task.slo == EACH:
        take_in_deployment(p, s, k, b, d, (all_ms, all_failed, all_p95, total * dep.timeout_ms, total))
    return latency, failed, p95, requests * dep.timeout_ms, requests
