"""The cluster model: one control interval of one environment, in scalar loops compiled by numba.

`run_interval` is the model. Everything works in place on row `b` of the state; nothing is allocated. What differs
from pool to pool at random is computed without branches where that is as clear: mispredicted branches cost the most.
"""

from math import cos, log, pi, sin, sqrt
from typing import Any

import numpy as np

from lwmecps_core.sim.fetching import fetch
from lwmecps_core.sim.formulas import (
    burst_p95,
    compiled,
    in_order,
    outcome,
    sojourn_p95,
    step_key,
    test_application,
    uniform,
    unlimited_waiting,
    waiting,
)
from lwmecps_core.sim.scheduling import schedule
from lwmecps_core.sim.serving import call, keep_users, serve, serve_callers
from lwmecps_core.sim.state import EACH, LEAST_CONNECTIONS, LOCAL_FIRST, Params, State, Work
from lwmecps_core.sim.windows import MISSED, charge, forget, judge, take_in_deployment

AT_CAPACITY = 1e-3
"""A utilisation so near to 1 is this far below it, where formulas for queues that people leave divide 0 by 0."""
SPILL_UTILISATION = 0.8
START_STEP = np.uint64(0xFFFFFFFF)
"""The step under which an episode's starting point is drawn."""


@compiled
def episode_start(p: Params, k: int, seed: Any) -> int:
    """The row of the users' table where an episode begins."""
    if p.tasks[k].random_start == 0:
        return 0
    length: int = p.tasks[k].table_length
    return min(int(uniform(step_key(seed, START_STEP), 0, 0) * length), length - 1)


@compiled
def table_row(p: Params, s: State, k: int, b: int) -> int:
    """The row of the users' table that is now."""
    row: int = p.tasks[k].table_start + (s.envs[b].start + s.envs[b].t) % p.tasks[k].table_length
    return row


@compiled
def arrive(p: Params, s: State, w: Work, k: int, b: int, worker: int) -> float:
    """Draw the users of the interval and send their requests to deployments that are ready. Returns users."""
    task, env, arrivals = p.tasks[k], s.envs[b], w.arrivals[worker]
    n_deps, n_nodes = arrivals.shape
    row = table_row(p, s, k, b)
    key = step_key(env.seed, env.t)
    total = 0.0
    arrivals[:] = 0.0
    for m in range(n_nodes):
        users = np.float64(p.users[row, m])
        requests = users * task.interval_s / task.request_interval_s
        if users > 0.0 and (task.noise > 0.0 or task.burst == 0):
            radius = sqrt(-2.0 * log(1.0 - uniform(key, m, 0)))
            angle = 2.0 * pi * uniform(key, m, 1)
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
            if w.active[worker, d] == 0:
                for i in range(n_deps):
                    other = p.failover[k, m, i]
                    if other < 0:
                        break
                    if w.active[worker, other] > 0:
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
            here, backlog, backlog_ram = pool.ready, pool.backlog, pool.backlog_ram
            some = min(max(here, 0), 1)  # a factor, not a condition: whether there are any is as good as random
            flow = w.flows[worker, d, count]  # the next pool's, if this one has no replicas
            flow.node, flow.ready, flow.requests = n, here, 0.0
            count += some
            ready += here
            queued += backlog
            queued_ram += backlog_ram
            pool.backlog, pool.backlog_ram, pool.utilisation = backlog * some, backlog_ram * some, 0.0
        w.active[worker, d], w.ready[worker, d] = count, ready
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
    for i in range(w.active[worker, d]):
        w.flows[worker, d, i].requests = total * w.flows[worker, d, i].ready / ready


@compiled
def send_local_first(p: Params, w: Work, k: int, worker: int, d: int, ready: float) -> None:
    """Send requests to the own node, then to the nearest with spare capacity, and the rest to all replicas alike."""
    dep, count, n_nodes = p.deployments[k, d], w.active[worker, d], w.arrivals.shape[2]
    flows, sent = w.flows[worker, d], w.sent[worker, d]
    sent[:count] = 0.0
    for i in range(count):
        flows[i].spare = SPILL_UTILISATION * flows[i].ready * dep.pod_rate * 1000.0 * p.tasks[k].interval_s
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
def wait(flow: Any, dep: Any, rho: float, pods: float) -> None:
    """How long requests that come one by one wait at each of so many pods that share a line."""
    cores = pods * dep.cores
    order = in_order(rho, cores, pods * dep.slots)
    variability = order * dep.variability + (1.0 - order)
    flow.wait_ms, flow.p_wait, flow.decay = waiting(rho, cores, dep.service_ms, variability)
    p95_ms = sojourn_p95(dep.service_ms, dep.cv2, flow.wait_ms, flow.p_wait, flow.decay, order, rho, cores)
    flow.more_p95_ms = p95_ms - dep.service_ms
    if dep.abandon == 1:
        if abs(rho - 1.0) < AT_CAPACITY:
            rho = 1.0 - AT_CAPACITY
        flow.wait_ms, flow.p_wait, flow.decay = unlimited_waiting(rho, cores, dep.service_ms, variability)
        flow.leaving = rho * rho


@compiled
def rid(flow: Any, pool: Any, dep: Any, interval_ms: float, burst: int) -> None:
    """Rid a pool's queue of those who have stopped waiting: what nobody waits for isn't served."""
    rate = flow.ready * dep.pod_rate
    pool.backlog = min(pool.backlog, rate * max(0.0, dep.timeout_ms - interval_ms)) if burst == 1 else 0.0
    offered = flow.requests / (rate * interval_ms)
    if burst == 1:
        pool.utilisation = min(pool.utilisation, dep.timeout_ms / interval_ms)
    else:
        _, fails = outcome(dep.service_ms, flow.wait_ms, flow.p_wait, flow.decay, dep.timeout_ms, burst, flow.leaving)
        # Of those who aren't answered, ρ / (1 + ρ) leave before their turn; the others' service comes too late.
        pool.utilisation = min(1.0, offered * (1.0 - fails * offered / (1.0 + offered)))


@compiled
def queue(p: Params, s: State, w: Work, k: int, b: int, worker: int, d: int, ready: float) -> None:
    """How long requests wait at each pool, what is left for the next interval, and what the pool uses of its node."""
    task, dep = p.tasks[k], p.deployments[k, d]
    interval_ms = task.interval_s * 1000.0
    for i in range(w.active[worker, d]):
        flow = w.flows[worker, d, i]
        pool, node = s.pools[b, d, flow.node], s.nodes[b, flow.node]
        if task.testapp == 1:
            test_application(flow, pool, dep.service_ms, task.interval_s, task.burst)
        else:
            rate, before = flow.ready * dep.pod_rate, pool.backlog
            capacity, offered = rate * interval_ms, pool.backlog + flow.requests
            served = min(offered, capacity)
            pool.backlog = min(offered - served, rate * dep.timeout_ms)
            pool.utilisation = served / capacity
            flow.dropped, flow.leaving = 0.0, 0.0
            first = w.flows[worker, d, 0]
            if i > 0 and task.routing != LOCAL_FIRST:
                flow.wait_ms, flow.p_wait, flow.decay = first.wait_ms, first.p_wait, first.decay
                flow.more_p95_ms, flow.leaving = first.more_p95_ms, first.leaving
            elif task.burst == 1:
                flow.wait_ms = max(0.0, (flow.requests / flow.ready - 1.0) / 2.0) / dep.pod_rate
                pods = flow.ready if task.routing == LOCAL_FIRST else ready
                requests, evenly = flow.requests / flow.ready * pods, task.routing == LEAST_CONNECTIONS
                together = burst_p95(1.0 / dep.pod_rate, dep.cv2, requests, pods, evenly)
                flow.more_p95_ms = max(0.0, together - dep.service_ms)
            else:
                wait(flow, dep, flow.requests / capacity, ready if task.routing == LEAST_CONNECTIONS else 1.0)
            if dep.abandon == 1:
                rid(flow, pool, dep, interval_ms, task.burst)
            flow.base_ms = dep.service_ms
            if before > 0.0 or pool.backlog > 0.0:
                flow.base_ms += (before if task.burst == 1 else (before + pool.backlog) / 2.0) / rate
                if task.burst == 0 and flow.requests > 0.0:
                    flow.dropped = min(1.0, (offered - served - pool.backlog) / flow.requests)
        busy = pool.utilisation * pool.ready
        node.cpu_used += busy * dep.busy_cpu
        node.tx_used += busy * dep.tx
        node.rx_used += busy * dep.rx
        pool.utilisation *= dep.busy_share


@compiled
def spend(p: Params, s: State, k: int, b: int) -> float:
    """What the replicas cost at their nodes' prices, and the power that these draw: their term of the reward."""
    task, env, priced, watts = p.tasks[k], s.envs[b], 0.0, 0.0
    for n in range(s.pools.shape[2]):
        node, pods = p.nodes[k, n], 0
        for d in range(s.pools.shape[1]):
            pods += s.pools[b, d, n].ready + s.pools[b, d, n].starting
        priced += node.price * pods
        if pods > 0:
            watts += node.idle_watts + (node.busy_watts - node.idle_watts) * s.nodes[b, n].cpu_used
    env.priced, env.watts = priced / task.most_priced, watts / task.most_watts
    term: float = -task.w_replicas * priced / task.max_replicas - task.w_energy * env.watts
    return term


@compiled
def load_pools(p: Params, s: State, w: Work, k: int, b: int, worker: int) -> None:
    """Send what has arrived to pools and queue it there, that of callers first; what that uses of every node."""
    task = p.tasks[k]
    n_deps, n_nodes = w.arrivals.shape[1:]
    if task.calls > 0:
        keep_users(w, worker)
    for n in range(n_nodes):
        s.nodes[b, n].cpu_used = 0.0
        s.nodes[b, n].tx_used = 0.0
        s.nodes[b, n].rx_used = 0.0
    for turn in range(n_deps):
        d = p.order[k, turn]
        ready = w.ready[worker, d]
        if task.routing == LOCAL_FIRST:
            send_local_first(p, w, k, worker, d, ready)
        elif ready > 0.0:
            spread(w, worker, d, ready)
        queue(p, s, w, k, b, worker, d, ready)
        if task.calls > 0:
            call(p, s, w, k, b, worker, d)
    for n in range(n_nodes):
        s.nodes[b, n].cpu_used /= p.nodes[k, n].cpu
        s.nodes[b, n].tx_used /= p.nodes[k, n].tx
        s.nodes[b, n].rx_used /= p.nodes[k, n].rx


@compiled
def run_interval(p: Params, s: State, w: Work, k: int, b: int, worker: int, info: Any) -> float:
    """One control interval of environment `b` with the desired replicas in its pools.

    Writes `info[:, b]` (order of `INFO_KEYS`) and returns the reward. The 95th percentile is an approximation: the mean
    over requests of their pool's 95th percentile, or of the timeouts once 5 % of all requests fail.
    """
    task, env = p.tasks[k], s.envs[b]
    n_deps, n_nodes = w.arrivals.shape[1:]
    row = table_row(p, s, k, b)
    fetch(p.users, row)
    fetch(p.clock, row)  # which the observation shows
    moves = schedule(p, s, k, b)
    find_pools(p, s, w, k, b, worker)
    users = arrive(p, s, w, k, b, worker)
    load_pools(p, s, w, k, b, worker)
    requests, latency, failed, p95, timeouts, replicas = 0.0, 0.0, 0.0, 0.0, 0.0, 0
    for turn in range(n_deps):
        d = p.order[k, n_deps - 1 - turn] if task.calls > 0 else turn
        ready = w.ready[worker, d]
        for n in range(n_nodes):
            replicas += s.pools[b, d, n].ready + s.pools[b, d, n].starting
        if task.calls > 0:
            sums = serve_callers(p, s, w, k, b, worker, d, ready)
        else:
            sums = serve(p, s, w, k, b, worker, d, ready)
            if task.slo == EACH:
                take_in_deployment(p, s, k, b, d, sums)
        latency, failed, p95 = latency + sums[0], failed + sums[1], p95 + sums[2]
        timeouts, requests = timeouts + sums[3], requests + sums[4]
    if requests > 0.0:
        latency, failed, p95, timeouts = latency / requests, failed / requests, p95 / requests, timeouts / requests
    if failed >= MISSED:
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
    if task.expense > 0:
        r_replicas = spend(p, s, k, b)
    r_imbalance, r_sla, r_moves = -task.w_imbalance * imbalance, -task.w_sla * failed, -task.w_moves * moves
    if task.slo > 0:
        judge(p, s, k, b, requests, failed, p95)
        r_latency, r_sla = -task.w_latency * charge(env.excess_p95), -task.w_sla * charge(env.excess_failed)
    info[8, b], info[9, b], info[10, b], info[11, b], info[12, b] = r_latency, r_replicas, r_imbalance, r_sla, r_moves
    reward: float = r_latency + r_replicas + r_imbalance + r_sla + r_moves
    return reward


@compiled
def begin_episode(p: Params, s: State, w: Work, k: int, b: int, worker: int, seed: Any, info: Any) -> None:
    """Begin environment `b`'s episode: the initial replicas run at their homes, ready, and one interval passes.

    Without that interval there would be nothing to observe.
    """
    env = s.envs[b]
    env.seed, env.t, env.pod = seed, 0, 0
    env.start = episode_start(p, k, seed)
    env.pod_node = p.deployments[k, p.pods[k, 0]].home if p.tasks[k].pods > 0 else -1
    s.ring[b] = 0
    for d in range(s.pools.shape[1]):
        home = p.deployments[k, d].home
        for n in range(s.pools.shape[2]):
            pool = s.pools[b, d, n]
            pool.desired = p.initial[k, d] if n == home else 0
            pool.ready, pool.starting, pool.backlog, pool.backlog_ram = 0, 0, 0.0, 0.0
    schedule(p, s, k, b)
    s.ring[b] = 0
    for d in range(s.pools.shape[1]):
        for n in range(s.pools.shape[2]):
            pool = s.pools[b, d, n]
            pool.ready += pool.starting
            pool.starting = 0
    run_interval(p, s, w, k, b, worker, info)
    if p.tasks[k].slo > 0:
        forget(s, b)
