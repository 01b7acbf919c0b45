"""How pods come to run: what is due becomes ready, what is too many goes, and the rest is scheduled where it fits."""

from lwmecps_core.sim.formulas import compiled
from lwmecps_core.sim.state import Params, State


@compiled
def schedule(p: Params, s: State, k: int, b: int) -> int:
    """Bring pods towards `desired`: ready what is due, remove, then schedule in order where they fit. Returns moves."""
    pools, ring, t = s.pools[b], s.ring[b], s.envs[b].t
    n_deps, n_nodes, slots = ring.shape
    last = slots - 1
    moves = 0
    for n in range(n_nodes):
        s.nodes[b, n].cpu_requested = 0.0
        s.nodes[b, n].ram_requested = 0.0
    for d in range(n_deps):
        dep = p.deployments[k, d]
        for n in range(n_nodes):
            pool = pools[d, n]
            due = ring[d, n, t & last]
            pool.ready += due
            pool.starting -= due
            ring[d, n, t & last] = 0
            surplus = max(0, pool.ready + pool.starting - pool.desired)
            moves += surplus
            later = dep.startup - 1
            while min(surplus, pool.starting) > 0:
                slot = (t + later) & last
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
            new = max(want, 0)  # no condition: whether any are wanted is as good as random
            node, spec = s.nodes[b, n], p.nodes[k, n]
            free_cpu, free_ram = spec.cpu - node.cpu_requested, spec.ram - node.ram_requested
            if free_cpu < new * dep.cpu or free_ram < new * dep.ram:
                fit = min(free_cpu / dep.cpu, free_ram / dep.ram)
                new = min(new, int(max(fit, 0.0) + 1e-9))
            pool.pending = want - new
            node.cpu_requested += new * dep.cpu
            node.ram_requested += new * dep.ram
            moves += new
            if dep.startup == 0:
                pool.ready += new
            else:
                pool.starting += new
                ring[d, n, (t + dep.startup) & last] += new
    return moves
