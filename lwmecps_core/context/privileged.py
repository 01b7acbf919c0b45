"""Everything about a cluster that is hidden from policies, as features: a control, for simulated clusters only.

A policy that is told this learns nothing by acting; what it earns beyond one without a context is what knowing the
cluster is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import Seen
from lwmecps_core.context.base import AnyArray, Blocks, Memory, blocks_by_entity
from lwmecps_core.context.known import AHEAD, COSINE, SCALE_SERVICE_MS, SINE
from lwmecps_core.sim.formulas import BOUND
from lwmecps_core.sim.state import busy_ms, home_node
from lwmecps_core.specs import EnvSpec, TaskSpec
from lwmecps_core.tasks.calls import with_calls
from lwmecps_core.tasks.workload import turn_per_interval, users_in_a_turn

Floats = NDArray[np.float64]

POINTS = 240
"""Of the clock's turn, at which the load is known."""
AHEAD_OR_NOW = (0, *AHEAD)
GLOBAL, DEPLOYMENT, NODE, PAIR = 2, 6 + len(AHEAD_OR_NOW), len(AHEAD_OR_NOW), 1
SCALE_MS, SCALE_USERS = 100.0, 100.0


@dataclass(frozen=True)
class Privileged:
    """The context `privileged`; see `lwmecps_core.context.base.Context`. Its memory is what it was `told`."""

    spec: EnvSpec

    @staticmethod
    def blocks(spec: EnvSpec) -> Blocks:
        """One block for each entity of the environment."""
        return blocks_by_entity(spec, GLOBAL, DEPLOYMENT, NODE, PAIR)

    def begin(self, width: int) -> Memory:
        """Zeros, which mean nothing: what it knows it must be `told`."""
        sizes = {name.removesuffix("_context"): shape for name, shape in self.blocks(self.spec)}
        memory = {name: np.zeros((width, *shape)) for name, shape in sizes.items()}
        memory["deployment"] = memory["deployment"][..., : -len(AHEAD_OR_NOW)]
        memory["turn"] = np.zeros(width)
        memory["load"] = np.zeros((width, POINTS, memory["deployment"].shape[1]))
        if "node" in memory:
            memory["node"] = np.zeros((width, POINTS, memory["node"].shape[1]))
        return memory

    def told(self, tasks: Sequence[TaskSpec], each: int) -> Memory:
        """The memory of `each` environments of every task.

        turn `[B]` of the clock in an interval, in points; load `[B, POINTS, D]` the share of all replicas that is busy
        if every request finds one; node `[B, POINTS, N]` users; the rest are features as they are shown.
        """
        found = [_facts(task) for task in tasks]
        return {name: np.repeat(np.stack([x[name] for x in found]), each, axis=0) for name in self.begin(1)}

    def update(self, memory: Memory, seen: Seen[AnyArray], where: AnyArray, shown: AnyArray) -> None:
        """See `Context.update`; nothing is learnt."""
        angle = np.arctan2(seen.obs[:, SINE], seen.obs[:, COSINE]) / (2.0 * np.pi)
        moments = (angle * POINTS)[:, None] + memory["turn"][:, None] * np.array(AHEAD_OR_NOW)
        points = np.round(moments).astype(np.int64) % POINTS

        def later(table: Floats) -> Floats:
            """`[B, POINTS, X]` → `[B, X, len(AHEAD_OR_NOW)]`."""
            return np.take_along_axis(table, points[:, :, None], axis=1).swapaxes(1, 2)

        load = _log_share(later(memory["load"]))
        parts = [memory["global"], np.concatenate([memory["deployment"], load], -1)]
        if "node" in memory:
            parts.append(np.log1p(later(memory["node"]) / SCALE_USERS))
        if "pair" in memory:
            parts.append(memory["pair"])
        found = np.concatenate([part.reshape(len(part), -1) for part in parts], -1)
        shown[where, -found.shape[1] :] = found[where].clip(-BOUND, BOUND)


def _log_share(share: Floats) -> Floats:
    """`formulas.log_share` of many."""
    shown: Floats = 2.0 + np.log(0.02 + share)
    return shown


def _facts(task: TaskSpec) -> dict[str, Floats]:
    w, pods = task.workload, task.deployments
    share = np.array(w.share)
    service = np.array([busy_ms(d) for d in pods])
    maximum = np.array([d.max_replicas for d in pods])
    users = users_in_a_turn(task, POINTS)
    rates = with_calls(task, users @ share) / w.request_interval_s
    load = rates * service / 1000.0 / maximum
    links = np.array([n.access_latency_ms for n in task.cluster.nodes])[:, None] + np.array(task.cluster.rtt_ms)
    homes = [home_node(task, d) for d in range(len(pods))]
    far = (users.mean(0)[:, None] * share * links[:, homes]).sum(0) / np.maximum(users.mean(0) @ share, 1e-9)
    own = [
        np.log(service / SCALE_SERVICE_MS),
        np.array([d.cpu_time_cv for d in pods]),
        np.array([d.startup_s / task.interval_s for d in pods]),
        _log_share(load.max(0)),
        _log_share(load.mean(0)),
        far / SCALE_MS,
    ]
    return {
        "global": np.array([w.noise, float(w.arrivals == "burst")]),
        "deployment": np.stack(own, -1),
        "turn": np.asarray(turn_per_interval(task) * POINTS),
        "load": load,
        "node": users,
        "pair": np.broadcast_to(links.mean(0) / SCALE_MS, (len(pods), len(links)))[..., None],
    }
