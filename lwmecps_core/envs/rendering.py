"""Placement, load and latency of one interval, as text and as a picture."""

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.cluster.base import ClusterState
from lwmecps_core.specs import TaskSpec

Picture = NDArray[np.uint8]

MODES = ("ansi", "rgb_array")
CELL, GAP, BAR = 24, 2, 96
"""Pixels: side of a cell, space between cells, length of the longest bar."""
GROUND, EMPTY, READY, WAITING, LOAD, LATE = (
    (255, 255, 255),
    (232, 232, 232),
    (38, 104, 176),
    (236, 166, 60),
    (96, 96, 96),
    (190, 48, 48),
)
"""Colours: background; cells without pods; ready pods; pods that are not ready; load of a node; latency."""


def text(task: TaskSpec, state: ClusterState) -> str:
    """A line about the whole, and a table: ready/wanted pods of deployments at nodes, rates, latencies, failures."""
    names = [node.name for node in task.cluster.nodes]
    rows = [["", *names, "req/s", "ms", "failed"]]
    desired = state.desired
    for d, deployment in enumerate(task.deployments):
        cells = [f"{state.ready[d, n]}/{desired[d, n]}" if desired[d, n] else "." for n in range(len(names))]
        failed = f"{100 * state.failed_share[d]:.0f} %"
        rows.append([deployment.name, *cells, f"{state.request_rate[d]:.1f}", f"{state.latency_ms[d]:.0f}", failed])
    rows.append(["users' req/s", *(f"{rate:.1f}" for rate in state.users_rate), "", "", ""])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    whole = f"users {state.users:.1f}  replicas {state.replicas}  latency {state.latency_ms_mean:.0f} ms"
    return "\n".join([f"{whole}  failed {100 * state.failed_share_total:.1f} %", *lines])


def picture(task: TaskSpec, state: ClusterState) -> Picture:
    """Deployments (rows) by nodes (columns), uint8 `[H, W, 3]`: cells fill with the share of the replicas that may be.

    Right of a row a bar of the deployment's latency over its timeout, below a column one of the node's part of load.
    """
    deployments, nodes = state.ready.shape
    side = CELL + GAP
    made = np.empty((deployments * side + BAR + GAP, nodes * side + BAR + GAP, 3), np.uint8)
    made[:] = GROUND
    most = np.array([d.max_replicas for d in task.deployments])[:, None]
    ready, wanted = state.ready / most, state.desired / most
    late = state.latency_ms / np.array([d.timeout_ms for d in task.deployments])
    load = state.users_rate / max(float(state.users_rate.sum()), 1e-9)
    for d in range(deployments):
        y = d * side
        for n in range(nodes):
            cell = made[y : y + CELL, n * side : n * side + CELL]
            cell[:] = EMPTY
            cell[CELL - _pixels(wanted[d, n], CELL) :] = WAITING
            cell[CELL - _pixels(ready[d, n], CELL) :] = READY
        made[y : y + CELL, nodes * side : nodes * side + _pixels(late[d], BAR)] = LATE
    for n in range(nodes):
        made[deployments * side : deployments * side + _pixels(load[n], BAR), n * side : n * side + CELL] = LOAD
    return made


def _pixels(share: float, length: int) -> int:
    """How many pixels of `length` a share takes: at least one where there is any."""
    return min(length, max(round(share * length), int(share > 0.0)))
