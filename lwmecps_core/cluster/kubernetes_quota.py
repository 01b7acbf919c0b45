"""What a namespace's ResourceQuotas and LimitRanges let pods be, and how many of them.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas and `…/limit-range`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.cluster.base import Counts, Floats
from lwmecps_core.cluster.kubernetes_api import Json
from lwmecps_core.cluster.kubernetes_constraints import OPERATORS
from lwmecps_core.cluster.kubernetes_objects import MIB, limits_as_requests, pod_requests, quantity

KINDS = ("cpu", "memory")
COUNTS_OF_OBJECTS = ("count/deployments.apps", "count/replicasets.apps")
"""Quotas that each pool takes one of, besides its pods."""


class Quota(NamedTuple):
    """A ResourceQuota in base units (cores, bytes); `scopes` are expressions that a pod must meet for it to count."""

    name: str
    hard: Mapping[str, float]
    used: Mapping[str, float]
    scopes: tuple[Json, ...]


class Room(NamedTuple):
    """What quotas leave to a task's pods: `left` `[K]`, of which a pod of each deployment takes `per_pod` `[D, K]`."""

    names: tuple[str, ...]
    per_pod: Floats
    left: Floats

    def fits(self, placement: Counts) -> bool:
        """Whether a placement `[D, N]` is within all quotas."""
        return bool((placement.sum(axis=1) @ self.per_pod <= self.left + 1e-9).all())

    def most(self, d: int) -> tuple[int, str] | None:
        """How many pods of deployment `d` fit by themselves, and which quota says so; None: any number."""
        taking = [k for k in range(len(self.names)) if self.per_pod[d, k] > 0]
        fit = [(max(0, int(self.left[k] / self.per_pod[d, k] + 1e-9)), self.names[k]) for k in taking]
        return min(fit, default=None)


def quota_of(raw: Json) -> Quota:
    """A ResourceQuota from its JSON."""
    spec, status = raw["spec"], raw.get("status") or {}
    told = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    plain = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    hard, used = ({k: quantity(v) for k, v in (of or {}).items()} for of in (spec.get("hard"), status.get("used")))
    return Quota(raw["metadata"]["name"], hard, used, (*plain, *told))


def room(quotas: Sequence[Quota], specs: Sequence[Json], ranges: Sequence[Json], own_pods: Sequence[int]) -> Room:
    """What quotas leave to deployments whose pods are as `PodSpec`s say and which have `own_pods` now: `[D]` each.

    What others use is what all use without the own pods.
    """
    usages = [usage(spec, ranges) for spec in specs]
    names, per_pod, left = [], [], []
    for quota in quotas:
        counts = [_counts(quota, spec) for spec in specs]
        for kind, hard in quota.hard.items():
            each = np.array([u.get(kind, 0.0) * c for u, c in zip(usages, counts, strict=True)])
            if each.any():
                others = max(0.0, quota.used.get(kind, 0.0) - float(each @ np.asarray(own_pods, np.float64)))
                names.append(f"ResourceQuota {quota.name} ({kind})")
                per_pod.append(each)
                left.append(hard - others)
    shape = (len(names), len(specs))
    return Room(tuple(names), np.array(per_pod, np.float64).reshape(shape).T, np.array(left, np.float64))


def usage(spec: Json, ranges: Sequence[Json]) -> dict[str, float]:
    """What a pod takes of every quota that pods count in: cores, bytes and pods."""
    requests = pod_requests(spec, defaults(ranges, "defaultRequest"))
    limits = pod_requests(limits_as_requests(spec, defaults(ranges, "default")))
    taken = {"pods": 1.0, "count/pods": 1.0}
    for i, (kind, unit) in enumerate(zip(KINDS, (1e-3, MIB), strict=True)):
        taken |= {kind: requests[i] * unit, f"requests.{kind}": requests[i] * unit, f"limits.{kind}": limits[i] * unit}
    return taken


def with_quota(current: Counts, wanted: Counts, quotas: Room) -> Counts:
    """`wanted` `[D, N]` without what quotas have no room for, counted in order of deployments and nodes.

    Replicas that are there (`current`) and wanted stay.
    """
    out = np.minimum(current, wanted)
    free: NDArray[np.float64] = quotas.left - out.sum(axis=1) @ quotas.per_pod
    for d, n in np.argwhere(wanted > out):
        each = quotas.per_pod[d]
        fit = [max(0, int(f / e + 1e-9)) for f, e in zip(free, each, strict=True) if e > 0]
        more = min([int(wanted[d, n] - out[d, n]), *fit])
        out[d, n] += more
        free = free - more * each
    return out


def lacking_objects(quotas: Sequence[Quota], new: int) -> list[str]:
    """Quotas that have no room for `new` more Deployments and their ReplicaSets."""
    return [
        f"ResourceQuota {quota.name} ({kind}) leaves {quota.hard[kind] - quota.used.get(kind, 0.0):g}"
        for quota in quotas
        for kind in COUNTS_OF_OBJECTS
        if kind in quota.hard and quota.hard[kind] - quota.used.get(kind, 0.0) < new
    ]


def defaults(ranges: Sequence[Json], of: str) -> dict[str, str]:
    """`defaultRequest` or `default` (limits) of containers that say nothing; of several the first that says it."""
    items = [item for _, item in _items(ranges, "Container")]
    return {kind: amount for item in reversed(items) for kind, amount in (item.get(of) or {}).items()}


def refused_by(ranges: Sequence[Json], spec: Json) -> list[str]:
    """Why LimitRanges refuse a `PodSpec`'s pods; empty: they don't."""
    found = []
    requests, limits = defaults(ranges, "defaultRequest"), defaults(ranges, "default")
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    for name, item in _items(ranges, "Container"):
        for container in containers:
            alone = {"containers": [container]}
            asked = pod_requests(alone, requests), pod_requests(limits_as_requests(alone, limits))
            found += [f"LimitRange {name}: container {container.get('name', '?')} {w}" for w in _outside(item, *asked)]
    asked = pod_requests(spec, requests), pod_requests(limits_as_requests(spec, limits))
    for name, item in _items(ranges, "Pod"):
        found += [f"LimitRange {name}: a pod {why}" for why in _outside(item, *asked)]
    return found


def _outside(item: Json, requests: tuple[float, float], limits: tuple[float, float]) -> Iterator[str]:
    """What of requests and limits (millicores, MiB; 0: none) is outside a LimitRange's item."""
    for i, (kind, unit) in enumerate(zip(KINDS, (1e3, 1 / MIB), strict=True)):
        least, most, ratio = (
            quantity(str((item.get(bound) or {}).get(kind, "0"))) for bound in ("min", "max", "maxLimitRequestRatio")
        )
        if requests[i] < least * unit * (1 - 1e-9):
            yield f"requests {_amount(i, requests[i])} of {kind}, at least {_amount(i, least * unit)}"
        if most and max(requests[i], limits[i]) > most * unit * (1 + 1e-9):
            yield f"has {_amount(i, max(requests[i], limits[i]))} of {kind}, at most {_amount(i, most * unit)}"
        elif most and not limits[i]:
            yield f"has no limit of {kind}, and may have at most {_amount(i, most * unit)}"
        if ratio and limits[i] > ratio * requests[i] * (1 + 1e-9):
            yield f"has a limit of {kind} over {ratio:g} times its request"


def _amount(i: int, value: float) -> str:
    return f"{value:g}{('m', ' MiB')[i]}"


def _items(ranges: Sequence[Json], of: str) -> list[tuple[str, Json]]:
    return [
        (raw["metadata"]["name"], item)
        for raw in ranges
        for item in raw["spec"].get("limits") or ()
        if item["type"] == of
    ]


def _counts(quota: Quota, spec: Json) -> bool:
    """Whether a Deployment's pods, which have no deadline, count in a quota by its scopes."""
    best_effort = not any(usage(spec, ())[f"{of}.{kind}"] for of in ("requests", "limits") for kind in KINDS)
    known = {
        "Terminating": False,
        "NotTerminating": True,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "CrossNamespacePodAffinity": False,
    }
    for scope in quota.scopes:
        if scope["scopeName"] == "PriorityClass":
            if not OPERATORS[scope["operator"]](spec.get("priorityClassName"), scope.get("values") or ()):
                return False
        elif not known.get(scope["scopeName"], True):
            return False
    return True
