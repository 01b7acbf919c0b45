"""Where Kubernetes' scheduler may put a pod, by what the pod and the nodes themselves say.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node and `…/taint-and-toleration`.
"""

from collections.abc import Callable, Mapping, Sequence

from lwmecps_core.cluster.kubernetes_api import Json

Labels = Mapping[str, str]
REFUSING = ("NoSchedule", "NoExecute")
PASSING = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""Taints of a node that is away: pods wait for it to come back."""
DEFAULT_SCHEDULER = "default-scheduler"
COUNTED = {"cpu", "memory", "ephemeral-storage"}
"""What pods may request: a task counts the first two, and disks are not what places services."""

OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _is_number(value) and int(value or 0) > int(values[0]),
    "Lt": lambda value, values: _is_number(value) and int(value or 0) < int(values[0]),
}


def selects(spec: Json, name: str, labels: Labels) -> bool:
    """Whether a `PodSpec`'s node name, node selector and required node affinity let its pods onto this node."""
    if spec.get("nodeName", name) != name:
        return False
    if not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(_holds(term, name, labels) for term in required["nodeSelectorTerms"])


def untolerated(spec: Json, taints: Sequence[Labels]) -> list[str]:
    """Keys of the taints that keep a `PodSpec`'s pods off a node."""
    tolerations = spec.get("tolerations") or ()
    return [
        taint["key"]
        for taint in taints
        if taint["effect"] in REFUSING and not any(_tolerates(toleration, taint) for toleration in tolerations)
    ]


def unrepresented(spec: Json) -> list[str]:
    """What a `PodSpec` asks of the scheduler that no task says: a list of nodes, CPU and memory do not."""
    affinity = spec.get("affinity") or {}
    found = [
        f"required {kind}"
        for kind in ("podAffinity", "podAntiAffinity")
        if (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    ]
    spread = spec.get("topologySpreadConstraints") or ()
    strict = any(constraint.get("whenUnsatisfiable") == "DoNotSchedule" for constraint in spread)
    found += ["topologySpreadConstraints"] * strict
    scheduler = spec.get("schedulerName") or DEFAULT_SCHEDULER
    found += [f"the scheduler {scheduler}"] * (scheduler != DEFAULT_SCHEDULER)
    found += [gates for gates in ("schedulingGates", "resourceClaims") if spec.get(gates)]
    claims = [volume["name"] for volume in spec.get("volumes") or () if "persistentVolumeClaim" in volume]
    found += [f"the persistent volume {name}, which is where it is" for name in claims]
    return found + _of_containers([*(spec.get("initContainers") or ()), *spec.get("containers", ())])


def _of_containers(containers: Sequence[Json]) -> list[str]:
    """Ports of the node, of which each node has one, and resources other than CPU and memory."""
    ports = {port["hostPort"] for one in containers for port in one.get("ports") or () if port.get("hostPort")}
    asked: set[str] = set()
    for container in containers:
        resources = container.get("resources") or {}
        asked |= set(resources.get("requests") or {}) | set(resources.get("limits") or {})
    others = sorted(asked - COUNTED)
    return [f"hostPort {port}" for port in sorted(ports)] + [f"requests of {kind}" for kind in others]


def _holds(term: Json, name: str, labels: Labels) -> bool:
    """Whether all of a term's expressions hold; a term without any selects nothing."""
    about = [(labels, term.get("matchExpressions") or ()), ({"metadata.name": name}, term.get("matchFields") or ())]
    return any(expressions for _, expressions in about) and all(
        OPERATORS[one["operator"]](values.get(one["key"]), one.get("values") or ())
        for values, expressions in about
        for one in expressions
    )


def _is_number(value: str | None) -> bool:
    return value is not None and value.removeprefix("-").isdecimal()


def _tolerates(toleration: Json, taint: Labels) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")
