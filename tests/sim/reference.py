"""The cluster model in plain NumPy: the same equations as the compiled kernel, written independently of it.

One cluster, one interval at a time, arrays `[D, N]`; clarity before speed.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.workload import users_table
from tests.sim.draws import draw


@dataclass
class Pods:
    """Replicas of one deployment on one node; `starting` holds (interval when ready, count), oldest first."""

    desired: int = 0
    ready: int = 0
    pending: int = 0
    starting: list[list[int]] = field(default_factory=list)

    @property
    def scheduled(self) -> int:
        return self.ready + sum(count for _, count in self.starting)


def gamma_p95(mean: float, variance: float) -> float:
    shape = mean**2 / variance if variance > 0 else math.inf
    return mean * max(0.0, 1 - 1 / (9 * shape) + 1.6449 / (3 * math.sqrt(shape))) ** 3


def sojourn_p95(service: float, cv: float, wait: float, p: float, order: float, crowded: float) -> float:
    """95th percentile of waiting and service, the wait being exponential with probability p."""
    mean, waits = service + wait, 2 * wait**2 / p - wait**2 if p else 0.0
    shared = mean**2 * (cv**2 * (2 + crowded) / (2 - crowded) + 0.8 * crowded * max(0.0, 1 - cv**2))
    spread = gamma_p95(mean, order * (waits + (service * cv) ** 2) + (1 - order) * shared)
    fixed = order * max(0.0, 1 - 2 * cv)
    alone = service + (max(0.0, math.log(p / 0.05)) * wait / p if p else 0.0)
    return (1 - fixed) * spread + fixed * alone


class ReferenceCluster:
    """`begin(seed)`, then `advance(placement [D, N])`; both return the interval's quantities."""

    def __init__(self, task: TaskSpec) -> None:
        self.task = task
        nodes, deps = task.cluster.nodes, task.deployments
        self.n, self.d = len(nodes), len(deps)
        self.table = users_table(task).astype(np.float64)
        self.rtt = np.array(task.cluster.rtt_ms)
        self.access = np.array([n.access_latency_ms for n in nodes])
        self.share = np.array(task.workload.share)
        self.failover = task.workload.failover or ((),) * self.n
        usable = [min(d.concurrency, d.usable_cores or math.inf) for d in deps]
        self.cpu = np.array([min(d.cpu_millicores / 1000, u) for d, u in zip(deps, usable, strict=True)])
        self.cores = np.maximum(1, self.cpu)
        self.service = np.array([d.cpu_time_ms for d in deps]) / np.minimum(1, self.cpu)
        self.variability = np.array([(1 + d.cpu_time_cv**2) / 2 for d in deps])
        names = [n.name for n in nodes]
        self.home = [names.index(d.allowed_nodes[0]) if d.allowed_nodes else i % self.n for i, d in enumerate(deps)]
        self.limit = np.array([[self._limit(d, n) for n in nodes] for d in deps])
        self.calls = [{[o.name for o in deps].index(c.deployment): c.times for c in d.calls} for d in deps]
        self.order: list[int] = []  # callers first
        while len(self.order) < self.d:
            left = [d for d in range(self.d) if d not in self.order]
            self.order.append(next(d for d in left if not any(d in self.calls[caller] for caller in left)))

    @staticmethod
    def _limit(d, n) -> int:
        if d.allowed_nodes and n.name not in d.allowed_nodes:
            return 0
        by_cpu, by_ram = n.cpu_millicores / d.cpu_millicores, n.ram_mib / d.ram_mib
        return min(d.max_replicas, math.floor(by_cpu + 1e-9), math.floor(by_ram + 1e-9))

    def begin(self, seed: int) -> dict:
        self.seed, self.t = seed, 0
        length = len(self.table)
        self.start = 0
        if self.task.workload.random_start:
            self.start = min(int(draw(seed, 0xFFFFFFFF, 0, 0) * length), length - 1)
        self.pods = [[Pods() for _ in range(self.n)] for _ in range(self.d)]
        self.backlog, self.backlog_ram = np.zeros((self.d, self.n)), np.zeros((self.d, self.n))
        for d, dep in enumerate(self.task.deployments):
            home = self.home[d]
            self.pods[d][home].desired = int(min(dep.initial_replicas, self.limit[d, home]))
        self._schedule(at_once=True)
        return self._interval()

    def advance(self, placement: np.ndarray) -> dict:
        self.t += 1
        for d, dep in enumerate(self.task.deployments):
            left = dep.max_replicas
            for n in range(self.n):
                count = int(max(0, min(placement[d][n], self.limit[d, n], left)))
                self.pods[d][n].desired = count
                left -= count
        return self._interval()

    def _schedule(self, at_once: bool = False) -> int:
        moves, deps, nodes = 0, self.task.deployments, self.task.cluster.nodes
        cpu, ram = np.zeros(self.n), np.zeros(self.n)
        for d in range(self.d):
            for n in range(self.n):
                pods = self.pods[d][n]
                pods.ready += sum(count for when, count in pods.starting if when <= self.t)
                pods.starting = [[when, count] for when, count in pods.starting if when > self.t]
                while pods.scheduled > pods.desired:
                    moves += 1
                    if pods.starting:
                        pods.starting[-1][1] -= 1
                        pods.starting = [s for s in pods.starting if s[1] > 0]
                    else:
                        pods.ready -= 1
                cpu[n] += pods.scheduled * deps[d].cpu_millicores
                ram[n] += pods.scheduled * deps[d].ram_mib
        for d in range(self.d):
            delay = 0 if at_once else math.ceil(deps[d].startup_s / self.task.interval_s - 1e-9)
            for n in range(self.n):
                pods = self.pods[d][n]
                new = 0
                while pods.scheduled + new < pods.desired:
                    fits_cpu = cpu[n] + deps[d].cpu_millicores <= nodes[n].cpu_millicores * (1 + 1e-9)
                    if not fits_cpu or ram[n] + deps[d].ram_mib > nodes[n].ram_mib * (1 + 1e-9):
                        break
                    cpu[n] += deps[d].cpu_millicores
                    ram[n] += deps[d].ram_mib
                    new += 1
                moves += new
                pods.pending = pods.desired - pods.scheduled - new
                if delay == 0:
                    pods.ready += new
                elif new:
                    pods.starting.append([self.t + delay, new])
        self.cpu_requested, self.ram_requested = cpu, ram
        return moves

    def _requests(self) -> tuple[np.ndarray, float]:
        """Requests of every station's users in the interval `[N]`, and the users."""
        w, dt = self.task.workload, self.task.interval_s
        mean = self.table[(self.start + self.t) % len(self.table)]
        one = np.array([draw(self.seed, self.t, m, 0) for m in range(self.n)])
        two = np.array([draw(self.seed, self.t, m, 1) for m in range(self.n)])
        radius = np.sqrt(-2 * np.log(1 - one))
        users = np.maximum(0, mean * (1 + w.noise * radius * np.cos(2 * np.pi * two)))
        requests = users * dt / w.request_interval_s
        if w.arrivals == "poisson":
            requests = np.maximum(0, requests + np.sqrt(requests) * radius * np.sin(2 * np.pi * two))
        return requests, float(users.sum())

    def _arrivals(self, requests: np.ndarray, ready: np.ndarray) -> np.ndarray:
        """Requests `[D, M]` after failover."""
        out = np.zeros((self.d, self.n))
        up = ready.sum(axis=1) > 0
        for m in range(self.n):
            for d in range(self.d):
                target = d if up[d] else next((o for o in self.failover[m] if up[o]), d)
                out[target, m] += requests[m] * self.share[m, d]
        return out

    def _route(self, d: int, arrivals: np.ndarray, ready: np.ndarray) -> np.ndarray:
        """Requests `[N, M]` to deployment d from station M served on node N."""
        fractions = ready / max(ready.sum(), 1)
        if self.task.routing != "local_first":
            return fractions[:, None] * arrivals[None, :]
        spare = 0.8 * ready * self.cores[d] / self.service[d] * self.task.interval_s * 1000
        own = np.minimum(arrivals, spare)
        flows = np.diag(own)
        spare, left = spare - own, arrivals - own
        for m in range(self.n):
            for n in np.argsort(self.rtt[m], kind="stable"):
                if n != m:
                    part = min(left[m], spare[n])
                    flows[n, m] += part
                    spare[n] -= part
                    left[m] -= part
            flows[:, m] += left[m] * fractions
        return flows

    def _in_turn(self, arrivals: np.ndarray, flows: np.ndarray, ready: np.ndarray, busy: np.ndarray):
        """Pools `(d, n)` with ready replicas, callers first: what a pool has served when the next one's turn comes has
        called others from its node, and a deployment is routed when all have called it.
        """
        for d in self.order:
            flows[d] = self._route(d, arrivals[d], ready[d])
            for n in np.flatnonzero(ready[d]):
                yield d, n
                rate = ready[d, n] * self.cores[d] / self.service[d]
                served = busy[d, n] * rate * self.task.interval_s * 1000
                if self.task.latency_model == "testapp":
                    served = flows[d, n].sum()
                for called, times in self.calls[d].items():
                    arrivals[called, n] += served * times

    def _queues(self, arrivals: np.ndarray, flows: np.ndarray, ready: np.ndarray) -> dict[str, np.ndarray]:
        """Waiting at every pool `[D, N]`; fills `flows`, and adds what deployments call to `arrivals`."""
        task, dt_ms = self.task, self.task.interval_s * 1000
        keys = ("certain", "wait", "p", "decay", "p95", "dropped", "busy", "leaving")
        out = {key: np.zeros((self.d, self.n)) for key in keys}
        if task.routing == "least_connections":
            share = ready / np.maximum(ready.sum(axis=1, keepdims=True), 1)
            self.backlog = self.backlog.sum(axis=1, keepdims=True) * share
            self.backlog_ram = self.backlog_ram.sum(axis=1, keepdims=True) * share
        self.backlog = np.where(ready > 0, self.backlog, 0.0)
        self.backlog_ram = np.where(ready > 0, self.backlog_ram, 0.0)
        for d, n in self._in_turn(arrivals, flows, ready, out["busy"]):
            amount = flows[d, n].sum()
            if task.latency_model == "testapp":
                self._test_application(out, d, n, amount / ready[d, n])
                continue
            dep, service = task.deployments[d], self.service[d]
            rate = ready[d, n] * self.cores[d] / service
            before, offered = self.backlog[d, n], self.backlog[d, n] + amount
            served = min(offered, rate * dt_ms)
            burst = task.workload.arrivals == "burst"
            longest = max(0.0, dep.timeout_ms - dt_ms) if dep.abandon and burst else dep.timeout_ms
            after = min(offered - served, rate * longest)
            self.backlog[d, n] = after
            out["busy"][d, n] = served / (rate * dt_ms)
            if burst:
                if dep.abandon:
                    out["busy"][d, n] = min(out["busy"][d, n], dep.timeout_ms / dt_ms)
                work, pods = service / self.cores[d], ready[d, n]
                out["wait"][d, n] = max(0.0, (amount / pods - 1) / 2) * work
                if task.routing != "local_first":
                    amount, pods = flows[d].sum(), ready[d].sum()
                others = max(0.0, amount - 1) / pods  # that come to the same pod: binomial
                varies = others * (1 - 1 / pods)
                if task.routing == "least_connections":
                    others, varies = max(0.0, amount / pods - 1), 0.0
                place = 1 + others / 2
                variance = (others**2 + varies + 2 * others) / 12 + varies / 4 + dep.cpu_time_cv**2 * place
                last = gamma_p95(1 + others, varies + dep.cpu_time_cv**2 * (1 + others))
                out["p95"][d, n] = max(0.0, work * min(gamma_p95(place, variance), last) - service)
                out["certain"][d, n] = service + before / rate
                continue
            pods = ready[d].sum() if task.routing == "least_connections" else 1
            servers, rho = self.cores[d] * pods, min(0.98, amount / dt_ms / rate)
            order = rho ** (dep.concurrency * pods - servers)
            out["certain"][d, n] = service + (before + after) / 2 / rate
            p = wait = 0.0
            if amount > 0:
                p = rho ** (math.sqrt(2 * (servers + 1)) - 1)
                wait = service * p / (servers * (1 - rho)) * (order * self.variability[d] + 1 - order)
                out["p"][d, n], out["wait"][d, n], out["decay"][d, n] = p, wait, p / wait
                out["dropped"][d, n] = min(1.0, max(0.0, offered - served - after) / amount)
            crowded = min(1.0, amount / dt_ms / rate) ** servers
            out["p95"][d, n] = sojourn_p95(service, dep.cpu_time_cv, wait, p, order, crowded) - service
            if dep.abandon:
                self._leave_the_line(out, d, n, amount / dt_ms / rate, servers, order)
        return out

    def _leave_the_line(self, out: dict[str, np.ndarray], d: int, n: int, load: float, servers: float, order: float):
        """M/M/1 whose customers leave after a fixed time: nothing is carried over, whatever is asked for."""
        self.backlog[d, n] = out["dropped"][d, n] = 0.0
        out["certain"][d, n] = self.service[d]
        if load == 0:
            return
        rho = 0.999 if abs(load - 1) < 1e-3 else load
        p = rho ** (math.sqrt(2 * (servers + 1)) - 1)
        wait = self.service[d] * p / (servers * (1 - rho)) * (order * self.variability[d] + 1 - order)
        out["p"][d, n], out["wait"][d, n], out["decay"][d, n], out["leaving"][d, n] = p, wait, p / wait, rho**2
        fails = self._outcome(out, d, n, self.service[d])[1]
        out["busy"][d, n] = min(1.0, load * (1 - fails * load / (1 + load)))

    def _test_application(self, out: dict[str, np.ndarray], d: int, n: int, each: float) -> None:
        dt = self.task.interval_s
        begin = np.array([self.backlog[d, n], self.backlog_ram[d, n]])
        limits, added = np.array([200.0, 256.0]), 3.5 * each
        if self.task.workload.arrivals == "burst":
            begin = np.maximum(0, begin - 100 * min(1, each))
            end = np.minimum(limits, begin + added)
        else:
            end = np.clip(begin + added - 100 * min(dt, each), 0, limits)
        loads = [np.mean(np.minimum(limits, c) / limits) for c in (begin, (begin + end) / 2, end)]
        sleeps = [500 * (0.05 + 3 * (load - 0.7)) if load > 0.7 else 0.0 for load in loads]
        self.backlog[d, n], self.backlog_ram[d, n] = end
        out["busy"][d, n] = np.dot(loads, [1, 4, 1]) / 6
        out["certain"][d, n] = self.service[d] + np.dot(sleeps, [1, 4, 1]) / 6

    def _outcome(self, q: dict[str, np.ndarray], d: int, n: int, base: float) -> tuple[float, float, float]:
        """Mean latency, failed share and 95th percentile of requests that certainly take `base` ms."""
        timeout = self.task.deployments[d].timeout_ms
        p95 = min(timeout, base + q["p95"][d, n])
        wait, left, dropped = q["wait"][d, n], timeout - base, q["dropped"][d, n]
        if left <= 0:
            latency, failed = timeout, 1.0
        elif wait == 0:
            latency, failed = base, 0.0
        elif self.task.workload.arrivals == "burst":
            failed = max(0.0, 1 - left / (2 * wait))
            below = min(left, 2 * wait)
            latency = base + below * (below / 2) / (2 * wait) + failed * left
        else:
            tail = math.exp(min(35.0, -q["decay"][d, n] * left))
            waits, failed = wait * (1 - tail), q["p"][d, n] * tail
            gone = q["leaving"][d, n] * failed
            latency, failed = base + (waits - gone * left) / (1 - gone), (failed - gone) / (1 - gone)
        return dropped * timeout + (1 - dropped) * latency, dropped + (1 - dropped) * failed, p95

    def _answers(self, q: dict, flows: np.ndarray, total: np.ndarray, users: np.ndarray, congestion: np.ndarray):
        """Sums over requests of latency, failures and 95th percentile `[3, D]`: of all, and of those of users.

        What calls answer is as certain as a mean can be; their percentiles beyond it add up as of independent normals.
        """
        every, own = np.zeros((3, self.d)), np.zeros((3, self.d))
        answer = np.zeros((self.d, self.n, 3))  # to calls from a node: latency, failed share, 95th percentile
        for d in reversed(self.order):
            timeout = self.task.deployments[d].timeout_ms
            if not flows[d].any():
                lost = np.array([timeout, 1.0, timeout])
                every[:, d], own[:, d], answer[d] = total[d].sum() * lost, users[d].sum() * lost, lost
            for n, m in zip(*np.nonzero(flows[d]), strict=True):
                part = flows[d, n, m] / total[d, m]
                calls = [(times, *answer[other, n]) for other, times in self.calls[d].items()]
                more, beyond = q["p95"][d, n], sum(times * max(0.0, p95 - ms) ** 2 for times, ms, _, p95 in calls)
                waits = min(max(q["wait"][d, n], 0.0), more)
                for sender, amount in (("user", users[d, m]), ("pod", total[d, m] - users[d, m])):
                    if amount <= 0:
                        continue
                    base = q["certain"][d, n] + congestion[n] + self.rtt[n, m] + sum(c[0] * c[1] for c in calls)
                    base += self.access[m] if sender == "user" else 0.0
                    latency, failed, p95 = self._outcome(q, d, n, base)
                    failed = 1 - (1 - failed) * math.prod((1 - c[2]) ** c[0] for c in calls)
                    if calls:
                        p95 = min(timeout, base + waits + math.sqrt((more - waits) ** 2 + beyond))
                    sums = np.array([latency, failed, p95])
                    every[:, d] += part * amount * sums
                    if sender == "user":
                        own[:, d] += part * amount * sums
                    else:
                        answer[d, m] += part * sums
        return every, own

    def _interval(self) -> dict:
        task, deps, nodes = self.task, self.task.deployments, self.task.cluster.nodes
        moves = self._schedule()
        ready = np.array([[pods.ready for pods in row] for row in self.pods])
        scheduled = np.array([[pods.scheduled for pods in row] for row in self.pods])
        requests, users = self._requests()
        arrivals = self._arrivals(requests, ready)
        of_users, flows = arrivals.copy(), np.zeros((self.d, self.n, self.n))
        q = self._queues(arrivals, flows, ready)
        busy = q["busy"] * ready
        per_pod = lambda name: np.array([getattr(d, name) for d in deps])[:, None]  # noqa: E731
        per_node = lambda name: np.array([getattr(n, name) for n in nodes])  # noqa: E731
        cpu_used = (busy * 1000 * self.cpu[:, None]).sum(axis=0) / per_node("cpu_millicores")
        tx = (busy * per_pod("tx_mbps")).sum(axis=0) / per_node("tx_mbps")
        rx = (busy * per_pod("rx_mbps")).sum(axis=0) / per_node("rx_mbps")
        network = np.maximum(tx, rx)
        load = np.minimum(network, 0.95)
        congestion = self.access * load / (1 - load)
        (each_ms, each_failed, _), (latency, failed, p95) = self._answers(q, flows, arrivals, of_users, congestion)
        total = of_users.sum()
        mean = lambda amounts: amounts / total if total > 0 else 0.0  # noqa: E731
        failed_share = mean(failed.sum())
        timeouts = mean(sum(of_users[d].sum() * dep.timeout_ms for d, dep in enumerate(deps)))
        o, own = task.objective, arrivals.sum(axis=1)
        info = {
            "latency_ms": mean(latency.sum()),
            "latency_p95_ms": timeouts if failed_share >= 0.05 else mean(p95.sum()),
            "replicas": float(scheduled.sum()),
            "imbalance": float(np.std(cpu_used)),
            "failed_share": failed_share,
            "moves": float(moves),
            "users": users,
            "resource_usage": float(cpu_used.mean()),
        }
        info["reward_latency"] = -o.latency * info["latency_ms"] / o.target_latency_ms
        usual = task.prices.replica_hour if task.prices else 1.0
        prices = np.array([n.replica_hour or usual for n in nodes]) / usual
        priced = float((scheduled.sum(axis=0) * prices).sum())
        idle, most = per_node("idle_watts"), per_node("busy_watts")
        watts = np.where(scheduled.any(axis=0), idle + (most - idle) * cpu_used, 0.0).sum()
        info["reward_replicas"] = -o.replicas * priced / sum(d.max_replicas for d in deps)
        info["reward_replicas"] -= o.energy * watts / most.sum() if most.any() else 0.0
        info["reward_imbalance"] = -o.imbalance * info["imbalance"]
        info["reward_sla"] = -o.sla * failed_share
        info["reward_moves"] = -o.moves * moves
        self.shown = {
            "ready": ready,
            "starting": scheduled - ready,
            "pending": np.array([[pods.pending for pods in row] for row in self.pods]),
            "utilisation": q["busy"] * (1000 * self.cpu / per_pod("cpu_millicores")[:, 0])[:, None],
            "request_rate": own / task.interval_s,
            "latency_ms": np.divide(each_ms, own, out=np.zeros(self.d), where=own > 0),
            "failed_share": np.divide(each_failed, own, out=np.zeros(self.d), where=own > 0),
            "users_rate": requests / task.interval_s,
            "cpu_used": cpu_used,
            "cpu_requested": self.cpu_requested / per_node("cpu_millicores"),
            "ram_requested": self.ram_requested / per_node("ram_mib"),
            "network": network,
        }
        return info
