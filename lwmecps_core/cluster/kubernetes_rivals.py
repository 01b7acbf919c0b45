"""Who else writes the replicas of Deployments: autoscalers, GitOps tools, operators.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply (managed fields); KEDA's `ScaledObject`.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lwmecps_core.cluster.kubernetes_api import FIELD_MANAGER, Json
from lwmecps_core.cluster.kubernetes_objects import PAUSED, Deployment, Place
from lwmecps_core.errors import AccessDenied, NotFound

_log = logging.getLogger(__name__)
MOST_FIGHTS = 2
"""How often replicas that somebody else wrote are written back."""
List = Callable[[str], Sequence[Json]]
"""What the API server lists at a path; raises `NotFound`, `AccessDenied`."""
AUTOSCALERS = {
    "HorizontalPodAutoscaler": "/apis/autoscaling/v1/namespaces/{}/horizontalpodautoscalers",
    "ScaledObject": "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects",
}
_CONTINUOUS = re.compile(r"argo|flux|(kustomize|helm)-controller|fleet|config-?sync|kapp|gitops|gotk", re.IGNORECASE)
"""Field managers that come back on their own to what they wrote, however they wrote it."""
_BY_HAND = re.compile(rf"kubectl|helm$|{FIELD_MANAGER}")
"""Field managers that write when a person says so; these names may be followed by more."""


def autoscaled(listed: List, namespace: str) -> tuple[dict[str, list[str]], list[str]]:
    """The autoscalers of every Deployment of a namespace, and a line on each kind that may not be looked for."""
    found: dict[str, list[str]] = {}
    said = []
    for kind, path in AUTOSCALERS.items():
        try:
            items = listed(path.format(namespace))
        except NotFound:  # KEDA is not installed
            continue
        except AccessDenied as error:
            said.append(f"not looked for a {kind}: {error}")
            continue
        for item in items:
            target = item["spec"]["scaleTargetRef"]
            if target.get("kind", "Deployment") == "Deployment":
                found.setdefault(target["name"], []).append(f"{kind} {item['metadata']['name']}")
    return found, said


def written_by(deployment: Json) -> list[str]:
    """Who else keeps writing a Deployment's `spec.replicas`, by its owner and its managed fields.

    Whoever applies it by hand does so once: that is no rival.
    """
    meta = deployment["metadata"]
    found = [f"its owner, {o['kind']} {o['name']}" for o in meta.get("ownerReferences") or () if o.get("controller")]
    for entry in meta.get("managedFields") or ():
        owns = "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        manager = entry.get("manager", "")
        applies = entry.get("operation") == "Apply" and not _BY_HAND.match(manager)
        if owns and manager != FIELD_MANAGER and (applies or _CONTINUOUS.search(manager)):
            found.append(f"field manager {manager}")
    return found


class GivingWay:
    """Which of a task's deployments are left to others: those that are paused by the annotation `PAUSED`, and those
    whose replicas somebody else has written more than `MOST_FIGHTS` times (unless we `override` them).

    Who writes the scale subresource leaves no managed field on Kubernetes before 1.22; that a Deployment is not as we
    left it shows all the same.
    """

    def __init__(self, places: Mapping[str, Place], override: bool) -> None:
        self._places, self._override = places, override
        self._counted: set[tuple[str, int]] = set()
        self._writes = Counter[str]()
        self._said: dict[int, str] = {}

    def look(self, deployments: Mapping[str, Deployment], overwritten: Sequence[str]) -> dict[int, str]:
        """The deployments that are left alone now, and why; `overwritten`: Deployments that are not as we left them."""
        for name in overwritten:
            write = (name, deployments[name].generation)
            if write not in self._counted:
                self._counted.add(write)
                self._writes[name] += 1
                _log.warning("somebody else set Deployment %s to %d replicas", name, deployments[name].replicas)
        left: dict[int, str] = {}
        for name, (d, _) in self._places.items():
            if name in deployments and deployments[name].paused:
                left.setdefault(d, f"Deployment {name} has the annotation {PAUSED}")
            elif self._writes[name] > MOST_FIGHTS and not self._override:
                left.setdefault(d, f"somebody else set the replicas of Deployment {name} {self._writes[name]} times")
        for d in left.keys() | self._said.keys():
            if left.get(d) != self._said.get(d):
                _log.warning("%s", f"left alone: {left[d]}" if d in left else f"no longer left alone: {self._said[d]}")
        self._said = left
        return left
