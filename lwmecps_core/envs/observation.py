"""What an agent sees: only what a real cluster shows and what its operator wrote, as float32 of roughly unit scale,
clipped to ±`BOUND`.

An observation is these blocks one after another, each flattened in C order:

* `global` `[5]`: sine and cosine of the time (within the pattern's period; recorded: within the day), replicas /
  sum of max_replicas, log(latency / 100 ms) over all requests, failed share.
* `deployment` `[D, 11]`: ready, desired, pending (each / the deployment's max_replicas), utilisation of ready replicas,
  busy replicas / max_replicas, log(1 + requests/s), its change since the last interval, log(latency / 100 ms), failed
  share, and again busy and ready replicas as 2 + log(0.02 + share): a target utilisation is their difference. In v2 a
  twelfth: 1 for the deployment of the pod to place.
* `node` `[N, 6]` (v2, v4): CPU used, CPU requested, RAM requested (shares of the node), network load (the larger of
  tx and rx), log(1 + requests/s of its users), log(1 + average pods that its free CPU has room for). In v2 a seventh:
  1 for the node where the pod to place runs.
* `pair` `[D, N, 4]` (v4): ready, desired, pending (each / max_replicas), utilisation.
* `objective` `[6]`, as written: the weights of latency, replicas, imbalance, SLA misses and moves, each as
  ½ log(0.01 + weight), and log(target latency / 100 ms). With bounds (`objective.slo`) `[10]`: the weights are what
  prices and multipliers mean (`tasks.money.weights`), then log(bound of the failed share / 1 %), log(bound of the 95th
  percentile / 100 ms) (none: the largest that is shown), and how much the worst window has of each: log of its share
  of the bound, above 0 where it misses it, and no less than log(0.05).
* `limits` `[D, 2]`, as written: log(timeout / 1 s), log(max_replicas / 8).

Three more are there only where the task has what they are about:

* `expense` `[3]` (nodes with prices of their own, or power): the weight of energy as other weights, then what replicas
  cost at their nodes' prices as a share of the most that they can cost, and the power that nodes draw, of the most.
* `tariff` `[N, 3]` (the same; v1 and v3 `home_tariff` `[D, 3]`, of the deployments' homes), as written: log(price of a
  replica / the task's), idle and busy power as shares of the largest that a node has.
* `calls` `[D, 2]` (deployments that call others), as written: log(1 + calls that a request makes), log(1 + calls that a
  request to each of the others makes to it, together).

A latency without requests is shown as 0. Everything that is not written is about the interval that just passed.
"""

from math import log, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.env_ids import V1 as V1
from lwmecps_core.env_ids import V2 as V2
from lwmecps_core.env_ids import V3 as V3
from lwmecps_core.env_ids import V4 as V4
from lwmecps_core.env_ids import version_of as version_of
from lwmecps_core.sim.formulas import clip, compiled, log_share, log_weight
from lwmecps_core.sim.state import Params, State
from lwmecps_core.specs import WRITTEN, EnvSpec, TaskSpec
from lwmecps_core.tasks.money import has_expense, most_priced, most_watts

Floats = NDArray[np.float64]

SCALE_LATENCY_MS = 100.0
SCALE_TIMEOUT_MS = 1000.0
SCALE_REPLICAS = 8.0
GLOBAL_FEATURES, DEPLOYMENT_FEATURES, NODE_FEATURES, PAIR_FEATURES = 5, 11, 6, 4
OBJECTIVE_FEATURES, SLO_FEATURES, LIMIT_FEATURES = 6, 4, 2
EXPENSE_FEATURES, TARIFF_FEATURES, CALL_FEATURES = 3, 3, 2
SCALE_FAILED = 0.01


def observation_blocks(task: TaskSpec) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of the blocks in order."""
    version, d, n = version_of(task.env_id), len(task.deployments), len(task.cluster.nodes)
    extra = int(version == V2)
    blocks: list[tuple[str, tuple[int, ...]]] = [
        ("global", (GLOBAL_FEATURES,)),
        ("deployment", (d, DEPLOYMENT_FEATURES + extra)),
    ]
    if version in (V2, V4):
        blocks.append(("node", (n, NODE_FEATURES + extra)))
    if version == V4:
        blocks.append(("pair", (d, n, PAIR_FEATURES)))
    objective = OBJECTIVE_FEATURES + (SLO_FEATURES if task.objective.slo else 0)
    blocks += zip(WRITTEN, ((objective,), (d, LIMIT_FEATURES)), strict=True)
    if has_expense(task):
        tariff = ("tariff", (n, TARIFF_FEATURES)) if version in (V2, V4) else ("home_tariff", (d, TARIFF_FEATURES))
        blocks += [("expense", (EXPENSE_FEATURES,)), tariff]
    if any(deployment.calls for deployment in task.deployments):
        blocks.append(("calls", (d, CALL_FEATURES)))
    return tuple(blocks)


def split(obs: NDArray[np.float32], spec: EnvSpec) -> dict[str, NDArray[np.float32]]:
    """Views of the blocks of observations `[..., O]`: name → `[..., *shape]`."""
    out, at = {}, 0
    for name, shape in spec.blocks:
        size = prod(shape)
        out[name] = obs[..., at : at + size].reshape(*obs.shape[:-1], *shape)
        at += size
    return out


def record(spec: EnvSpec) -> np.dtype[np.void]:
    """An observation as a NumPy record of its blocks: a view of whole ones by it is the quicker way to split them."""
    return np.dtype([(name, np.float32, shape) for name, shape in spec.blocks])


def expense(task: TaskSpec, obs: NDArray[Any], replicas: Floats) -> tuple[Floats, Floats]:
    """What is shown of costs in observations `[..., O]` of `replicas` `[...]`: these at their nodes' prices, in
    replicas at the task's price, and the watts that their nodes draw; `[...]` each. An observation may go on with what
    a context knows.
    """
    if not has_expense(task):
        return replicas, np.zeros_like(replicas)
    blocks = observation_blocks(task)
    begin = sum(prod(shape) for _, shape in blocks[: [name for name, _ in blocks].index("expense")])
    shown = np.asarray(obs[..., begin : begin + EXPENSE_FEATURES], np.float64)
    return shown[..., 1] * most_priced(task), shown[..., 2] * most_watts(task)


@compiled
def log_latency(latency_ms: float) -> float:
    """Latency on the observation's scale; 0 where there was no request."""
    return clip(log(latency_ms / SCALE_LATENCY_MS)) if latency_ms > 0.0 else 0.0


@compiled
def observe(version: int, p: Params, s: State, k: int, b: int, obs: Any, like: int) -> None:
    """Write environment `b`'s observation into `obs[b]` `[O]`; row `like` (-1: none) is already one of the same task,
    of which what is written is taken.
    """
    out = obs[b]
    task, env, pools = p.tasks[k], s.envs[b], s.pools[b]
    n_deps, n_nodes = pools.shape
    row = task.table_start + (env.start + env.t) % task.table_length
    out[0], out[1] = p.clock[row, 0], p.clock[row, 1]
    out[2], out[3], out[4] = env.replicas / task.max_replicas, log_latency(env.latency_ms), env.failed_share
    current = p.pods[k, env.pod] if version == V2 and env.pod < task.pods else -1
    at = GLOBAL_FEATURES
    for d in range(n_deps):
        state, maximum = s.deployments[b, d], np.float64(p.deployments[k, d].max_replicas)
        ready, desired, pending, busy = 0, 0, 0, 0.0
        for n in range(n_nodes):
            pool = pools[d, n]
            ready += pool.ready
            desired += pool.desired
            pending += pool.pending
            busy += pool.ready * pool.utilisation
        out[at], out[at + 1], out[at + 2] = ready / maximum, desired / maximum, pending / maximum
        out[at + 3] = busy / ready if ready > 0 else 0.0
        out[at + 4] = busy / maximum
        out[at + 5], out[at + 6] = clip(state.log_rate), clip(state.log_rate_change)
        out[at + 7], out[at + 8] = log_latency(state.latency_ms), state.failed_share
        out[at + 9], out[at + 10] = log_share(busy / maximum), log_share(ready / maximum)
        at += DEPLOYMENT_FEATURES
        if version == V2:
            out[at] = 1.0 if d == current else 0.0
            at += 1
    if version in (V2, V4):
        at = observe_nodes(version, p, s, k, b, out, at)
    if version == V4:
        for d in range(n_deps):
            maximum = np.float64(p.deployments[k, d].max_replicas)
            for n in range(n_nodes):
                pool = pools[d, n]
                out[at], out[at + 1] = pool.ready / maximum, pool.desired / maximum
                out[at + 2], out[at + 3] = pool.pending / maximum, pool.utilisation
                at += PAIR_FEATURES
    features = OBJECTIVE_FEATURES + (SLO_FEATURES if task.slo > 0 else 0)
    if like >= 0:
        for i in range(at, at + features + n_deps * LIMIT_FEATURES):
            out[i] = obs[like, i]
    else:
        observe_written(p, k, out, at)
    if task.slo > 0:
        out[at + features - 2], out[at + features - 1] = clip(env.excess_failed), clip(env.excess_p95)
    at += features + n_deps * LIMIT_FEATURES
    if task.expense > 0:
        at = observe_expense(version, p, s, k, b, out, at)
    if task.calls > 0:
        observe_calls(p, k, out, at)


@compiled
def observe_written(p: Params, k: int, out: Any, at: int) -> None:
    """Write the blocks `objective` and `limits` at `out[at:]`, but for by how much bounds are missed."""
    task = p.tasks[k]
    out[at], out[at + 1] = log_weight(task.w_latency), log_weight(task.w_replicas)
    out[at + 2], out[at + 3] = log_weight(task.w_imbalance), log_weight(task.w_sla)
    out[at + 4] = log_weight(task.w_moves)
    out[at + 5] = clip(log(task.target_latency_ms / SCALE_LATENCY_MS))
    at += OBJECTIVE_FEATURES
    if task.slo > 0:
        out[at] = clip(log(task.bound_failed / SCALE_FAILED))
        out[at + 1] = clip(log(task.bound_p95_ms / SCALE_LATENCY_MS))
        at += SLO_FEATURES
    for d in range(p.deployments.shape[1]):
        deployment = p.deployments[k, d]
        out[at] = clip(log(deployment.timeout_ms / SCALE_TIMEOUT_MS))
        out[at + 1] = log(deployment.max_replicas / SCALE_REPLICAS)
        at += LIMIT_FEATURES


@compiled
def observe_expense(version: int, p: Params, s: State, k: int, b: int, out: Any, at: int) -> int:
    """Write the blocks `expense` and `tariff` at `out[at:]`; returns where the next block begins."""
    out[at], out[at + 1], out[at + 2] = log_weight(p.tasks[k].w_energy), s.envs[b].priced, s.envs[b].watts
    at += EXPENSE_FEATURES
    most, nodes = 0.0, p.nodes[k]
    for n in range(nodes.shape[0]):
        most = max(most, nodes[n].busy_watts)
    for i in range(nodes.shape[0] if version in (V2, V4) else s.pools.shape[1]):
        node = nodes[i if version in (V2, V4) else p.deployments[k, i].home]
        out[at] = clip(log(node.price))
        out[at + 1] = node.idle_watts / most if most > 0.0 else 0.0
        out[at + 2] = node.busy_watts / most if most > 0.0 else 0.0
        at += TARIFF_FEATURES
    return at


@compiled
def observe_calls(p: Params, k: int, out: Any, at: int) -> None:
    """Write the block `calls` at `out[at:]`."""
    count = p.calls.shape[1]
    for d in range(count):
        made, got = 0.0, 0.0
        for other in range(count):
            made, got = made + p.calls[k, d, other], got + p.calls[k, other, d]
        out[at], out[at + 1] = clip(log(1.0 + made)), clip(log(1.0 + got))
        at += CALL_FEATURES


@compiled
def observe_nodes(version: int, p: Params, s: State, k: int, b: int, out: Any, at: int) -> int:
    """Write the `node` block at `out[at:]`; returns where the next block begins."""
    for n in range(p.nodes.shape[1]):
        node, spec = s.nodes[b, n], p.nodes[k, n]
        out[at] = clip(node.cpu_used)
        out[at + 1], out[at + 2] = clip(node.cpu_requested / spec.cpu), clip(node.ram_requested / spec.ram)
        out[at + 3] = clip(max(node.tx_used, node.rx_used))
        out[at + 4] = clip(log(1.0 + node.rate))
        out[at + 5] = clip(log(1.0 + max(0.0, spec.cpu - node.cpu_requested) / p.tasks[k].mean_pod_cpu))
        at += NODE_FEATURES
        if version == V2:
            out[at] = 1.0 if n == s.envs[b].pod_node else 0.0
            at += 1
    return at
