"""The cluster model: one control interval of one environment, in scalar loops compiled by numba.

`run_interval` is the model. Everything works in place on row `b` of the state; nothing is allocated. Sources: waiting by
Pollaczek–Khinchine, Sakasegawa (1977) and Allen–Cunneen; see `waiting`.
"""

from math import cos, exp, log, pi, sin, sqrt
from typing import Any

import numpy as np
from numba import njit

from lwmecps_core.sim.state import LEAST_CONNECTIONS, LOCAL_FIRST, Params, State, Work

compiled: Any = njit(nogil=True, error_model="numpy")

MAX_UTILISATION = 0.98
MAX_CONGESTION = 0.95
SPILL_UTILISATION = 0.8
NO_TAIL = 35.0
"""An exponential tail below exp(-35) counts as zero."""

REQUEST_UNITS, DECAY_UNITS, CPU_UNITS, RAM_UNITS = 3.5, 100.0, 200.0, 256.0
"""The test application: mean units a request adds, units one decay removes, limits of its two counters."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
START_STEP = np.uint64(0xFFFFFFFF)


@compiled
def mix(z: Any) -> Any:
    """Splitmix64's finaliser of a uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled
def uniform(seed: Any, step: Any, node: int, draw: int) -> float:
    """A uniform number in [0, 1) that is a function of (seed, step, node, draw) only."""
    z = mix(mix(seed + GOLDEN) + np.uint64(step) * GOLDEN)
    z = mix(z + np.uint64(2 * node + draw + 1) * GOLDEN)
    return np.float64(z >> np.uint64(11)) * 2.0**-53


@compiled
def episode_start(p: Params, k: int, seed: Any) -> int:
    """The row of the users' table where an episode begins."""
    if p.tasks[k].random_start == 0:
        return 0
    length = p.tasks[k].table_length
    return min(int(uniform(seed, START_STEP, 0, 0) * length), length - 1)


@compiled
def waiting(rho: float, servers: float, service_ms: float, variability: float) -> Any:
    """Mean wait (ms), probability of waiting and decay rate of the wait's tail (1/ms) in a queue M/G/servers.

    Mean = s ρ^(√(2(k+1))−1) / (k (1−ρ)) × (1+cv²)/2: Sakasegawa's M/M/k times Allen and Cunneen's factor; k = 1 is
    Pollaczek–Khinchine. The tail is P(wait > t) = p exp(−t p / mean) (conditionally exponential).
    """
    rho = min(rho, MAX_UTILISATION)
    if rho <= 0.0:
        return 0.0, 0.0, 1.0
    p = rho if servers == 1.0 else rho ** (sqrt(2.0 * (servers + 1.0)) - 1.0)
    decay = servers * (1.0 - rho) / (service_ms * variability)
    return p / decay, p, decay


@compiled
def outcome(base_ms: float, wait_ms: float, p: float, decay: float, timeout_ms: float, burst: int) -> Any:
    """Mean latency (ms), at most the timeout, and probability that it exceeds the timeout; `base_ms` is certain."""
    left = timeout_ms - base_ms
    if left <= 0.0:
        return timeout_ms, 1.0
    if burst == 1:
        if left >= 2.0 * wait_ms:
            return base_ms + wait_ms, 0.0
        return base_ms + left - left * left / (4.0 * wait_ms), 1.0 - left / (2.0 * wait_ms)
    if left * decay > NO_TAIL:
        return base_ms + wait_ms, 0.0
    tail = exp(-left * decay)
    return base_ms + wait_ms * (1.0 - tail), p * tail


@compiled
def schedule(p: Params, s: State, k: int, b: int) -> int:
    """Bring pods towards `desired`: ready what is due, remove, then schedule in order where they fit. Returns moves."""
    pools, ring, t = s.pools[b], s.ring[b], s.envs[b].t
    n_deps, n_nodes, slots = ring.shape
    moves = 0
    for n in range(n_nodes):
        s.nodes[b, n].cpu_requested = 0.0
        s.nodes[b, n].ram_requested = 0.0
    for d in range(n_deps):
        dep = p.deployments[k, d]
        for n in range(n_nodes):
            pool = pools[d, n]
            if pool.starting > 0:
                due = ring[d, n, t % slots]
                pool.ready += due
                pool.starting -= due
                ring[d, n, t % slots] = 0
            surplus = pool.ready + pool.starting - pool.desired
            if surplus > 0:
                moves += surplus
                later = dep.startup - 1
                while pool.starting > 0 and surplus > 0:
                    slot = (t + later) % slots
                    gone = min(surplus, ring[d, n, slot])
                    ring[d, n, slot] -= gone
                    pool.starting -= gone
                    surplus -= gone
                    later -= 1
                pool.ready -= surplus
            pods = pool.ready + pool.starting
            s.nodes[b, n].cpu_requested += pods * dep.cpu
            s.nodes[b, n].ram_requested += pods * dep.ram
    for d in range(n_deps):
        dep = p.deployments[k, d]
        for n in range(n_nodes):
            pool = pools[d, n]
            want = pool.desired - pool.ready - pool.starting
            pool.pending = want
            if want > 0:
                node, spec = s.nodes[b, n], p.nodes[k, n]
                fit = min((spec.cpu - node.cpu_requested) / dep.cpu, (spec.ram - node.ram_requested) / dep.ram)
                new = min(want, int(max(fit, 0.0) + 1e-9))
                pool.pending = want - new
                node.cpu_requested += new * dep.cpu
                node.ram_requested += new * dep.ram
                moves += new
                if dep.startup == 0:
                    pool.ready += new
                else:
                    pool.starting += new
                    ring[d, n, (t + dep.startup) % slots] += new
    return moves


@compiled
def arrive(p: Params, s: State, w: Work, k: int, b: int, worker: int) -> float:
    """Draw the users of the interval and send their requests to deployments that are ready. Returns users."""
    task, env, arrivals = p.tasks[k], s.envs[b], w.arrivals[worker]
    n_deps, n_nodes = arrivals.shape
    row = task.table_start + (env.start + env.t) % task.table_length
    total = 0.0
    arrivals[:] = 0.0
    for m in range(n_nodes):
        users = np.float64(p.users[row, m])
        requests = users * task.interval_s / task.request_interval_s
        if users > 0.0 and (task.noise > 0.0 or task.burst == 0):
            radius = sqrt(-2.0 * log(1.0 - uniform(env.seed, env.t, m, 0)))
            angle = 2.0 * pi * uniform(env.seed, env.t, m, 1)
            users = max(0.0, users * (1.0 + task.noise * radius * cos(angle)))
            requests = users * task.interval_s / task.request_interval_s
            if task.burst == 0:
                requests = max(0.0, requests + sqrt(requests) * radius * sin(angle))
        total += users
        s.nodes[b, m].rate = requests / task.interval_s
        if requests <= 0.0:
            continue
        for d in range(n_deps):
            amount = requests * p.share[k, m, d]
            if amount <= 0.0:
                continue
            target = d
            if w.count[worker, d] == 0:
                for i in range(n_deps):
                    other = p.failover[k, m, i]
                    if other < 0:
                        break
                    if w.count[worker, other] > 0:
                        target = other
                        break
            arrivals[target, m] += amount
    return total


@compiled
def find_pools(p: Params, s: State, w: Work, k: int, b: int, worker: int) -> None:
    """List every deployment's pools with ready replicas; work queued at a pool without any is lost."""
    pools = s.pools[b]
    for d in range(pools.shape[0]):
        count, queued, queued_ram, ready = 0, 0.0, 0.0, 0
        for n in range(pools.shape[1]):
            pool = pools[d, n]
            pool.utilisation = 0.0
            if pool.ready > 0:
                flow = w.flows[worker, d, count]
                flow.node = n
                flow.ready = pool.ready
                flow.requests = 0.0
                count += 1
            ready += pool.ready
            queued += pool.backlog
            queued_ram += pool.backlog_ram
            if pool.ready == 0:
                pool.backlog = 0.0
                pool.backlog_ram = 0.0
        w.count[worker, d] = count
        if p.tasks[k].routing == LEAST_CONNECTIONS and ready > 0:
            for i in range(count):
                pool = pools[d, w.flows[worker, d, i].node]
                pool.backlog = queued * pool.ready / ready
                pool.backlog_ram = queued_ram * pool.ready / ready


@compiled
def spread(w: Work, worker: int, d: int, ready: float) -> None:
    """Send every station's requests to all ready replicas alike."""
    total = 0.0
    for m in range(w.arrivals.shape[2]):
        total += w.arrivals[worker, d, m]
    for i in range(w.count[worker, d]):
        w.flows[worker, d, i].requests = total * w.flows[worker, d, i].ready / ready


@compiled
def send_local_first(p: Params, w: Work, k: int, worker: int, d: int, ready: float) -> None:
    """Send requests to the own node, then to the nearest with spare capacity, and the rest to all replicas alike."""
    dep, count, n_nodes = p.deployments[k, d], w.count[worker, d], w.arrivals.shape[2]
    flows, sent = w.flows[worker, d], w.sent[worker, d]
    sent[:count] = 0.0
    for i in range(count):
        flows[i].spare = (
            SPILL_UTILISATION * flows[i].ready * dep.concurrency * 1000.0 * p.tasks[k].interval_s / dep.service_ms
        )
        m = flows[i].node
        sent[i, m] = min(w.arrivals[worker, d, m], flows[i].spare)
        flows[i].spare -= sent[i, m]
    for m in range(n_nodes):
        left = w.arrivals[worker, d, m]
        for i in range(count):
            if flows[i].node == m:
                left -= sent[i, m]
        for j in range(n_nodes):
            if left <= 0.0:
                break
            for i in range(count):
                if flows[i].node == p.nearest[k, m, j] and flows[i].node != m:
                    part = min(left, flows[i].spare)
                    sent[i, m] += part
                    flows[i].spare -= part
                    left -= part
        for i in range(count):
            sent[i, m] += max(left, 0.0) * flows[i].ready / ready
            flows[i].requests += sent[i, m]


@compiled
def queue(p: Params, s: State, w: Work, k: int, b: int, worker: int, d: int, ready: float) -> None:
    """How long requests wait at each pool, what is left for the next interval, and what the pool uses of its node."""
    task, dep = p.tasks[k], p.deployments[k, d]
    interval_ms = task.interval_s * 1000.0
    for i in range(w.count[worker, d]):
        flow = w.flows[worker, d, i]
        pool, node = s.pools[b, d, flow.node], s.nodes[b, flow.node]
        if task.testapp == 1:
            test_application(flow, pool, dep.service_ms, task.interval_s, task.burst)
        else:
            rate = flow.ready * dep.concurrency / dep.service_ms
            servers = dep.concurrency * (ready if task.routing == LEAST_CONNECTIONS else 1.0)
            offered = pool.backlog + flow.requests
            before = pool.backlog
            served = min(offered, rate * interval_ms)
            pool.backlog = min(offered - served, rate * dep.timeout_ms)
            pool.utilisation = served / (rate * interval_ms)
            flow.dropped = 0.0
            if task.burst == 1:
                each = flow.requests / flow.ready
                flow.wait_ms = max(0.0, (each - 1.0) / 2.0) * dep.service_ms / dep.concurrency
                flow.wait_p95_ms = 1.9 * flow.wait_ms
                flow.base_ms = dep.service_ms + before / rate
            else:
                flow.wait_ms, flow.p_wait, flow.decay = waiting(
                    flow.requests / (rate * interval_ms), servers, dep.service_ms, dep.variability
                )
                flow.wait_p95_ms = log(20.0 * flow.p_wait) / flow.decay if flow.p_wait > 0.05 else 0.0
                flow.base_ms = dep.service_ms + (before + pool.backlog) / 2.0 / rate
                if flow.requests > 0.0:
                    flow.dropped = min(1.0, (offered - served - pool.backlog) / flow.requests)
        busy = pool.utilisation * pool.ready
        node.cpu_used += busy * dep.busy_cpu / p.nodes[k, flow.node].cpu
        node.tx_used += busy * dep.tx / p.nodes[k, flow.node].tx
        node.rx_used += busy * dep.rx / p.nodes[k, flow.node].rx


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
    flow.wait_ms, flow.p_wait, flow.decay, flow.wait_p95_ms, flow.dropped = 0.0, 0.0, 1.0, 0.0, 0.0


@compiled
def serve(p: Params, s: State, w: Work, k: int, b: int, worker: int, d: int, ready: float) -> Any:
    """Latency and failures of one deployment's requests over stations and pools.

    Returns the sums over requests of latency (ms), failures, 95th percentile (ms) and timeout (ms), and the requests.
    """
    task, dep, n_nodes = p.tasks[k], p.deployments[k, d], w.arrivals.shape[2]
    requests, latency, failed, p95 = 0.0, 0.0, 0.0, 0.0
    for m in range(n_nodes):
        requests += w.arrivals[worker, d, m]
    if w.count[worker, d] == 0:
        latency, failed, p95 = requests * dep.timeout_ms, requests, requests * dep.timeout_ms
    for i in range(w.count[worker, d]):
        flow = w.flows[worker, d, i]
        n, part = flow.node, flow.ready / ready
        load = min(max(s.nodes[b, n].tx_used, s.nodes[b, n].rx_used), MAX_CONGESTION)
        here_ms = flow.base_ms + p.nodes[k, n].access_ms * load / (1.0 - load)
        kept = 1.0 - flow.dropped
        for m in range(n_nodes):
            amount = w.sent[worker, d, i, m] if task.routing == LOCAL_FIRST else w.arrivals[worker, d, m] * part
            if amount <= 0.0:
                continue
            base_ms = here_ms + p.nodes[k, m].access_ms + p.rtt_ms[k, n, m]
            mean_ms, fails = outcome(base_ms, flow.wait_ms, flow.p_wait, flow.decay, dep.timeout_ms, task.burst)
            latency += amount * (flow.dropped * dep.timeout_ms + kept * mean_ms)
            failed += amount * (flow.dropped + kept * fails)
            p95 += amount * min(dep.timeout_ms, base_ms + flow.wait_p95_ms)
    row = s.deployments[b, d]
    log_rate = log(1.0 + requests / task.interval_s)
    row.log_rate_change = log_rate - row.log_rate if s.envs[b].t > 0 else 0.0
    row.rate, row.log_rate = requests / task.interval_s, log_rate
    row.latency_ms = latency / requests if requests > 0.0 else 0.0
    row.failed_share = failed / requests if requests > 0.0 else 0.0
    return latency, failed, p95, requests * dep.timeout_ms, requests


@compiled
def run_interval(p: Params, s: State, w: Work, k: int, b: int, worker: int, info: Any) -> float:
    """One control interval of environment `b` with the desired replicas in its pools.

    Writes `info[:, b]` (order of `INFO_KEYS`) and returns the reward.
    """
    task, env = p.tasks[k], s.envs[b]
    n_deps, n_nodes = w.arrivals.shape[1:]
    moves = schedule(p, s, k, b)
    find_pools(p, s, w, k, b, worker)
    users = arrive(p, s, w, k, b, worker)
    for n in range(n_nodes):
        s.nodes[b, n].cpu_used = 0.0
        s.nodes[b, n].tx_used = 0.0
        s.nodes[b, n].rx_used = 0.0
    for d in range(n_deps):
        ready = 0.0
        for i in range(w.count[worker, d]):
            ready += w.flows[worker, d, i].ready
        if task.routing == LOCAL_FIRST:
            send_local_first(p, w, k, worker, d, ready)
        elif ready > 0.0:
            spread(w, worker, d, ready)
        queue(p, s, w, k, b, worker, d, ready)
    requests, latency, failed, p95, timeouts, replicas = 0.0, 0.0, 0.0, 0.0, 0.0, 0
    for d in range(n_deps):
        ready = 0.0
        for n in range(n_nodes):
            ready += s.pools[b, d, n].ready
            replicas += s.pools[b, d, n].ready + s.pools[b, d, n].starting
        sums = serve(p, s, w, k, b, worker, d, ready)
        latency += sums[0]
        failed += sums[1]
        p95 += sums[2]
        timeouts += sums[3]
        requests += sums[4]
    if requests > 0.0:
        latency, failed, p95, timeouts = latency / requests, failed / requests, p95 / requests, timeouts / requests
    if failed >= 0.05:
        p95 = timeouts
    used, squares = 0.0, 0.0
    for n in range(n_nodes):
        used += s.nodes[b, n].cpu_used / n_nodes
        squares += s.nodes[b, n].cpu_used ** 2 / n_nodes
    imbalance = sqrt(max(0.0, squares - used * used))
    env.replicas, env.latency_ms, env.failed_share = replicas, latency, failed
    info[0, b], info[1, b], info[2, b], info[3, b], info[4, b] = latency, p95, replicas, imbalance, failed
    info[5, b], info[6, b], info[7, b] = moves, users, used
    r_latency = -task.w_latency * latency / task.target_latency_ms
    r_replicas = -task.w_replicas * replicas / task.max_replicas
    r_imbalance, r_sla, r_moves = -task.w_imbalance * imbalance, -task.w_sla * failed, -task.w_moves * moves
    info[8, b], info[9, b], info[10, b], info[11, b], info[12, b] = r_latency, r_replicas, r_imbalance, r_sla, r_moves
    return r_latency + r_replicas + r_imbalance + r_sla + r_moves
