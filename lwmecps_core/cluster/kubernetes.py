"""A real Kubernetes cluster behind a task: seen through watches, changed by server-side apply."""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from lwmecps_core.cluster.base import ClusterState, Counts, allowed_placement
from lwmecps_core.cluster.kubernetes_api import Api
from lwmecps_core.cluster.kubernetes_bounds import Bounds
from lwmecps_core.cluster.kubernetes_lease import DURATION_S, Lease
from lwmecps_core.cluster.kubernetes_measure import Measurement
from lwmecps_core.cluster.kubernetes_objects import Whereabouts, deployment_of, node_of, pod_of, whereabouts
from lwmecps_core.cluster.kubernetes_placement import Change, Placer, homes_of
from lwmecps_core.cluster.kubernetes_rivals import GivingWay
from lwmecps_core.cluster.kubernetes_safety import with_min_replicas
from lwmecps_core.cluster.kubernetes_watch import Watched
from lwmecps_core.errors import ClusterUnavailable, InvalidInput, Violation, WrongState
from lwmecps_core.sim.state import fewest_replicas, initial_replicas, pod_limits
from lwmecps_core.specs import KubernetesSpec, TaskSpec

_log = logging.getLogger(__name__)

LOOK_S = 0.05
"""Least time between two looks at the whole cluster while waiting for it."""


class KubernetesBackend:
    """The Deployments of one task on a real cluster (see `ClusterBackend`, and `KubernetesSpec` for what it may do).

    The pods of deployment d at node n belong to a Deployment of their own (`pool_names`), made from the template of the
    task's Deployment d, which itself is scaled to 0. Pods without a node, or on a node that is away or not Ready, or
    not ready in time, are pending: the share that they are of what is desired counts as failed requests, if more than
    that have not failed anyway. An interval lasts `task.interval_s / pace`, and longer where the cluster has not yet
    created and removed the pods by then, up to `ready_deadline_s`. A state always shows what the cluster says, never
    what was only asked for. Without `manage`, nothing is changed: `planned` and the log say what would be, and a reset
    leaves the placement as it is.

    What the cluster's own rules do not let be is left out of a placement: new pods where a taint or cordon keeps them
    off, and pods beyond a ResourceQuota. Whose pods need what no task says, and whose replicas others write too, is
    refused by name (`kubernetes_bounds`). Deployments that are paused by an annotation, or that others come to write
    meanwhile, are left as they are (`kubernetes_rivals.GivingWay`); a reset is refused then.

    Needs list and watch of nodes, and in the namespace of pods and Deployments; with `manage` also patch (create,
    delete) of Deployments and get, create, update of Leases. Quotas, LimitRanges, autoscalers and KEDA's ScaledObjects
    are looked for where they may be listed. Raises, beside what the contract says: `AccessDenied`
    naming verb and resource; `InvalidInput` naming the nodes and Deployments that the cluster does not have;
    `WrongState` naming who controls the namespace, `Conflict` once somebody else does; `SourceUnavailable`;
    `ClusterUnavailable` when a reset's pods are not ready in time (a node that vanishes later is no error).
    """

    def __init__(self, task: TaskSpec, kubeconfig: Path | str | None = None, lease_s: float = DURATION_S) -> None:
        if task.kubernetes is None:
            raise InvalidInput("task", [Violation("kubernetes", "is required for a real cluster")])
        self.task, self._spec = task, task.kubernetes
        self._limit = pod_limits(task)
        self._most = np.array([d.max_replicas for d in task.deployments], np.int64)
        self._fewest = fewest_replicas(task)
        self._homes = homes_of(task)
        self._nodes_names = tuple(node.name for node in task.cluster.nodes)
        self._api = Api(kubeconfig)
        self._changed = threading.Condition()
        self._watches(self._spec)
        identity = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lease = Lease(self._api, self._spec.namespace, identity, lease_s)
        self._placer = Placer(self._api, task, self._spec, self._may_change)
        self._bounds = Bounds(self._api, task, self._spec, self._placer, self._changed)
        self._others = GivingWay(self._placer.places(), self._spec.other_writers == "override")
        self._left: dict[int, str] = {}
        self._measure = Measurement(self._api, task, self._spec)
        self._found: dict[str, int] | None = None
        self._asked: Counts | None = None
        self._safe: Counts | None = None
        self._restore: Counts | None = None
        self._scheduled: frozenset[str] = frozenset()
        self._state: ClusterState | None = None
        self._closed = False
        self.planned: tuple[Change, ...] = ()
        """The changes of the last interval: carried out with `manage`, else only said."""

    def reset(self, seed: int) -> ClusterState:
        if self._closed:
            raise WrongState("the cluster is closed")
        self._state = None
        self._see()
        home = np.zeros_like(self._limit)
        home[np.arange(len(home)), self._homes] = initial_replicas(self.task)
        self._placer.read_templates(self._nodes.items())
        self._bounds.read()
        if self._spec.manage:
            self._check_start(home)
            self._lease.acquire(self._spec.unreachable_deadline_s)
            if self._found is None:
                self._found = self._placer.found(self._deployments.items())
            self._carry_out(home)
            if not self._wait(lambda s: bool((s.ready == home).all()) and len(s.scheduled) == home.sum()):
                raise ClusterUnavailable(self._not_ready(home))
        self._asked, self._safe, self._restore = home, home, None
        self._pass_interval(time.monotonic())
        seen = self._whereabouts()
        self._measure.begin(seed, home)
        self._scheduled = seen.scheduled
        return self._show(seen)

    def apply(self, placement: Counts) -> None:
        self._check_open()
        self._asked = allowed_placement(placement, self._limit, self._most)

    def advance(self) -> ClusterState:
        self._check_open()
        began = time.monotonic()
        self._check_watches()
        placement = self._decide()
        if self._spec.manage:
            self._carry_out(placement)
        else:
            self._say(placement)
        self._pass_interval(began)
        state = self._show(self._whereabouts())
        self._guard_latency(state)
        return state

    def observe(self) -> ClusterState:
        self._check_open()
        assert self._state is not None
        return self._state

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._spec.rollback and self._found is not None:
                self._roll_back(self._found)
        finally:
            self._lease.release()
            for watched in (*self._all, self._bounds):
                watched.stop()
            self._api.close()

    def _watches(self, spec: KubernetesSpec) -> None:
        inside = f"namespaces/{spec.namespace}"
        self._nodes = Watched(self._api, "/api/v1/nodes", node_of, self._changed)
        self._deployments = Watched(self._api, f"/apis/apps/v1/{inside}/deployments", deployment_of, self._changed)
        self._pods = Watched(self._api, f"/api/v1/{inside}/pods", pod_of, self._changed)
        self._all = (self._nodes, self._deployments, self._pods)

    def _see(self) -> None:
        """Begin to watch, and return when everything was listed and the server is there."""
        end = time.monotonic() + self._spec.unreachable_deadline_s
        for watched in (*self._all, self._bounds):
            watched.start()
        while not (all(watched.current for watched in self._all) and self._bounds.seen):
            self._check_watches()
            if time.monotonic() > end:
                raise ClusterUnavailable(f"{self._api.address} did not list what it has in time")
            with self._changed:
                self._changed.wait(LOOK_S)

    def _check_start(self, home: Counts) -> None:
        """Refuse, before anything is changed, what the cluster's rules or other writers would not let be."""
        deployments = self._deployments.items()
        current = self._placer.placement(deployments)
        self._bounds.check_writers()
        if left := self._look_around():
            raise InvalidInput("task", [Violation(f"deployments[{d}].name", why) for d, why in left.items()])
        self._bounds.check_homes(current, home, self._nodes.items())
        self._bounds.check_start(current, home, self._pods.items(), deployments)

    def _check_open(self) -> None:
        if self._closed or self._state is None:
            raise WrongState("the cluster is closed" if self._closed else "the cluster was not reset yet")

    def _check_watches(self) -> None:
        for watched in self._all:
            watched.check(self._spec.unreachable_deadline_s)

    def _may_change(self) -> None:
        self._lease.check(self._spec.unreachable_deadline_s)

    def _whereabouts(self) -> Whereabouts:
        return whereabouts(
            self._nodes_names,
            self._placer.places(),
            (len(self._limit), len(self._nodes_names)),
            self._nodes.items(),
            self._deployments.items(),
            self._pods.items(),
            time.time(),
            self._spec.ready_deadline_s,
        )

    def _look_around(self) -> dict[int, str]:
        """Which deployments are left to others from now on, and why."""
        deployments = self._deployments.items()
        self._left = self._others.look(deployments, self._placer.overwritten(deployments))
        return self._left

    def _decide(self) -> Counts:
        """The placement for the next interval: what was asked for, within the cluster's rules and the safety limits."""
        assert self._asked is not None
        current = self._placer.placement(self._deployments.items())
        wanted = self._asked if self._restore is None else self._restore
        limit = self._bounds.limit(self._whereabouts().placed, self._limit, self._nodes.items())
        wanted = np.minimum(wanted, limit)
        wanted = with_min_replicas(current, wanted, limit, self._most, self._homes, self._fewest)
        for d in self._look_around():
            wanted[d] = current[d]
        return self._bounds.step(current, wanted, self._pods.items())

    def _guard_latency(self, state: ClusterState) -> None:
        """Above the ceiling, let the last placement below it have the next interval; after that, ask the policy again.

        Else a load that no placement keeps below the ceiling would take control away for good.
        """
        ceiling, restored = self._spec.latency_ceiling_ms, self._restore is not None
        self._restore = None
        if ceiling is None or state.latency_ms_mean <= ceiling:
            self._safe = self._placer.placement(self._deployments.items())
        elif not restored:
            _log.warning("latency of %.0f ms is above the ceiling: back to the last placement", state.latency_ms_mean)
            self._restore = self._safe

    def _carry_out(self, placement: Counts) -> None:
        nodes, deployments = self._nodes.items(), self._deployments.items()
        self.planned = tuple(c for c in self._placer.plan(placement, deployments) if c.d not in self._left)
        self._may_change()
        self._placer.apply(self.planned, nodes)

    def _say(self, placement: Counts) -> None:
        changes = self._placer.plan(placement, self._deployments.items())
        self.planned = tuple(change for change in changes if change.d not in self._left)
        for change in self.planned:
            _log.info("dry run: would set Deployment %s to %d replicas", change.name, change.replicas)

    def _pass_interval(self, began: float) -> None:
        """Let the interval pass, and wait until the pods that were asked for are created and the others removed."""
        while (left_s := began + self.task.interval_s / self._spec.pace - time.monotonic()) > 0.0:
            time.sleep(min(left_s, 1.0))
            self._check_watches()
        if self._spec.manage and not self._wait(lambda s: not s.unsettled):
            _log.warning("not carried out within %g s: %s", self._spec.ready_deadline_s, self._whereabouts().unsettled)

    def _wait(self, holds: Callable[[Whereabouts], bool]) -> bool:
        """Whether the cluster came to be so within the readiness deadline; it is looked at when it changes."""
        end = time.monotonic() + self._spec.ready_deadline_s
        while True:
            self._check_watches()
            if self._placer.seen(self._deployments.items()) and holds(self._whereabouts()):
                return True
            if time.monotonic() > end:
                return False
            with self._changed:
                self._changed.wait(0.5)
            time.sleep(LOOK_S)  # changes come in swarms

    def _show(self, seen: Whereabouts) -> ClusterState:
        measured = self._measure.read(seen, self._placer.places(), self._nodes.items(), self._pods.items())
        moves = len(seen.scheduled ^ self._scheduled)
        self._scheduled = seen.scheduled
        self._state = replace(measured, moves=float(moves))
        return self._state

    def _not_ready(self, home: Counts) -> str:
        seen = self._whereabouts()
        names = [
            f"{self.task.deployments[d].name} at {self._nodes_names[n]} ({seen.ready[d, n]} of {home[d, n]})"
            for d, n in np.argwhere(seen.ready != home)
        ]
        why = "; ".join((*seen.refused, *(f"{name} is not settled" for name in seen.unsettled)))
        return f"not ready within {self._spec.ready_deadline_s:g} s: {', '.join(names)}. {why or 'No reason given'}"

    def _roll_back(self, found: dict[str, int]) -> None:
        """Restore the replicas that the first reset found, and remove the Deployments that were made since."""
        nodes, deployments = self._nodes.items(), self._deployments.items()
        self._look_around()
        back = [change for change in self._placer.plan_back(found, deployments) if change.d not in self._left]
        self._placer.apply(back, nodes)
        for name in self._placer.pools:
            left_alone = self._placer.pools[name][0] in self._left
            if name not in found and name in deployments and deployments[name].managed and not left_alone:
                self._placer.delete(name)
