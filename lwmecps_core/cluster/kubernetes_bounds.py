"""What of a placement a cluster's own rules leave: taints, cordons and labels as they are now, and quotas."""

import logging
import threading
from collections import Counter
from collections.abc import Mapping

import numpy as np

from lwmecps_core.cluster.base import Counts
from lwmecps_core.cluster.kubernetes_api import Api, Json
from lwmecps_core.cluster.kubernetes_objects import Deployment, Node, Pod
from lwmecps_core.cluster.kubernetes_placement import Placer
from lwmecps_core.cluster.kubernetes_quota import Room, lacking_objects, quota_of, room, with_quota
from lwmecps_core.cluster.kubernetes_rivals import autoscaled, written_by
from lwmecps_core.cluster.kubernetes_safety import with_few_moves
from lwmecps_core.cluster.kubernetes_watch import Watched
from lwmecps_core.errors import AccessDenied, InvalidInput, Violation
from lwmecps_core.specs import KubernetesSpec, TaskSpec

_log = logging.getLogger(__name__)


class Bounds:
    """The rules that bind a task's pods in one namespace; what may not be listed is taken for none, and said."""

    def __init__(
        self, api: Api, task: TaskSpec, spec: KubernetesSpec, placer: Placer, changed: threading.Condition
    ) -> None:
        self._api, self._task, self._spec, self._placer = api, task, spec, placer
        inside = f"/api/v1/namespaces/{spec.namespace}"
        self._quotas = Watched(api, f"{inside}/resourcequotas", quota_of, changed)
        self._ranges_path = f"{inside}/limitranges"
        self._ranges: list[Json] = []
        self._said: set[str] = set()

    def start(self) -> None:
        """Begin to watch."""
        self._quotas.start()

    def stop(self) -> None:
        """Watch no more."""
        self._quotas.stop()

    @property
    def seen(self) -> bool:
        """Whether quotas were listed, or may not be."""
        if (denied := self._quotas.denied) is not None:
            self._say(f"taken for a namespace without quotas: {denied}")
            self._quotas.stop(0.0)
        return denied is not None or self._quotas.current

    def read(self) -> None:
        """Look up LimitRanges as they are now; raises `InvalidInput` naming whose pods can't be, or be represented."""
        try:
            answer = self._api.persist(self._spec.unreachable_deadline_s, "GET", self._ranges_path)
            self._ranges = list(answer.get("items") or ())
        except AccessDenied as error:
            self._ranges = []
            self._say(f"taken for a namespace without LimitRanges: {error}")
        if wrong := self._placer.refusals(self._ranges):
            raise InvalidInput("task", wrong)

    def check_writers(self) -> None:
        """Raise `InvalidInput` naming who else writes replicas, unless the task overrides them (then it is said)."""

        def listed(path: str) -> list[Json]:
            return list(self._api.persist(self._spec.unreachable_deadline_s, "GET", path).get("items") or ())

        scaled, said = autoscaled(listed, self._spec.namespace)
        for line in said:
            self._say(line)
        wrong = []
        for name, (d, _) in self._placer.places().items():
            source = self._placer.templates.get(name)
            others = [*scaled.get(name, ()), *(written_by(source) if source else ())]
            if others:
                reason = f"the replicas of Deployment {name} are also written by {', '.join(sorted(set(others)))}"
                wrong.append(Violation(f"deployments[{d}].name", reason))
        if not wrong:
            return
        if self._spec.other_writers == "refuse":
            remedy = "suspend what writes them, or override it by other_writers: override"
            raise InvalidInput("task", [*wrong, Violation("kubernetes.other_writers", remedy)])
        for violation in wrong:
            self._say(f"overridden: {violation.reason}")

    def check_start(
        self, current: Counts, home: Counts, pods: Mapping[str, Pod], deployments: Mapping[str, Deployment]
    ) -> None:
        """Raise `InvalidInput` where the placement of a reset is not possible, naming taints and quotas."""
        free, wrong = self._room(pods), []
        left = with_quota(current, home, free)
        for d in np.flatnonzero((left < home).any(axis=1)):
            full = [free.names[k] for k in np.flatnonzero(home.sum(axis=1) @ free.per_pod > free.left + 1e-9)]
            reason = f"{home[d].sum()} pods are more than {', '.join(full)} leaves: raise it, or deploy fewer"
            wrong.append(Violation(f"deployments[{d}].initial_replicas", reason))
        new = [name for name in self._placer.pools_to_come() if name not in deployments]
        for lack in lacking_objects(list(self._quotas.items().values()), len(new)):
            reason = f"a Deployment for each node is needed, {len(new)} more, and {lack}"
            wrong.append(Violation("cluster.nodes", reason))
        if wrong:
            raise InvalidInput("task", wrong)

    def check_homes(self, current: Counts, home: Counts, nodes: Mapping[str, Node]) -> None:
        """Raise `InvalidInput` where a reset needs new pods on a node that takes none, naming why."""
        kept_off = self._placer.kept_off_now(nodes)
        wrong = [
            Violation(f"deployments[{d}].allowed_nodes", f"its pods begin at their home: {why}")
            for (d, n), why in kept_off.items()
            if home[d, n] > current[d, n]
        ]
        if wrong:
            raise InvalidInput("task", wrong)

    def limit(self, placed: Counts, limit: Counts, nodes: Mapping[str, Node]) -> Counts:
        """`limit` `[D, N]` without new pods where nodes take none now; those that are `placed` there may stay."""
        narrowed = limit.copy()
        for place, why in self._placer.kept_off_now(nodes).items():
            narrowed[place] = min(limit[place], placed[place])
            if limit[place]:
                self._say(f"no new pods: {why}")
        return narrowed

    def step(self, current: Counts, wanted: Counts, pods: Mapping[str, Pod]) -> Counts:
        """As much of the way to `wanted` as quotas and `max_moves_per_interval` allow."""
        free, most = self._room(pods), self._spec.max_moves_per_interval
        allowed = with_quota(current, wanted, free)
        if (left := int((wanted - allowed).sum())) > 0:
            self._say(f"{left} pods are more than {', '.join(free.names)} leave room for")
        if most is None:
            return allowed
        moved = with_few_moves(current, allowed, most)
        return moved if free.fits(moved) else with_few_moves(current, allowed, most, removals_first=True)

    def _room(self, pods: Mapping[str, Pod]) -> Room:
        places, counts = self._placer.places(), Counter[int]()
        for pod in pods.values():
            if pod.deployment in places:
                counts[places[pod.deployment][0]] += 1
        specs = [self._placer.pod_spec(d) for d in range(len(self._task.deployments))]
        own = [counts[d] for d in range(len(specs))]
        return room(list(self._quotas.items().values()), specs, self._ranges, own)

    def _say(self, line: str) -> None:
        """Once: what holds in every interval is said when it is first seen."""
        if line not in self._said:
            self._said.add(line)
            _log.warning("%s", line)
