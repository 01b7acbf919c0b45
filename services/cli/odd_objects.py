"""What is odd about a Kubernetes object that can't be read: which of its fields is missing, or is something else."""

from collections.abc import Mapping
from typing import Any

TEXT, AMOUNT, ANY = "text", "quantity", "anything"
"""What is no mapping and no list."""
CLASSES: Mapping[str, tuple[type, ...]] = {TEXT: (str,), AMOUNT: (str, int, float), ANY: (object,)}
AMOUNTS: Mapping[str, Any] = {"*": AMOUNT}
RESOURCES: Mapping[str, Any] = {"requests": AMOUNTS, "limits": AMOUNTS}
EXPRESSION: Mapping[str, Any] = {"key!": TEXT, "operator!": TEXT, "values": [ANY]}
TERM: Mapping[str, Any] = {"matchExpressions": [EXPRESSION], "matchFields": [EXPRESSION]}
POD_SPEC: Mapping[str, Any] = {
    "containers!": [{"resources": RESOURCES, "ports": [{}]}],
    "initContainers": [{"resources": RESOURCES, "ports": [{}]}],
    "resources": RESOURCES,
    "overhead": AMOUNTS,
    "nodeSelector": {},
    "affinity": {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms!": [TERM]}},
        "podAffinity": {},
        "podAntiAffinity": {},
    },
    "tolerations": [{}],
    "topologySpreadConstraints": [{}],
    "volumes": [{"name!": TEXT}],
}
LABELS: Mapping[str, Any] = {"*": TEXT}
OWNERS = [{"kind!": TEXT, "name!": TEXT}]
CONDITIONS = [{"type!": TEXT, "status!": TEXT}]
BOUNDS = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")
SHAPES: Mapping[str, Any] = {
    "node": {
        "metadata": {"labels": LABELS},
        "spec": {"taints": [{"key!": TEXT, "effect!": TEXT}]},
        "status": {"allocatable": AMOUNTS, "capacity": AMOUNTS, "conditions": CONDITIONS},
    },
    "pod": {
        "metadata": {"uid!": TEXT, "creationTimestamp!": TEXT, "labels": LABELS, "ownerReferences": OWNERS},
        "spec!": POD_SPEC,
        "status": {"conditions": CONDITIONS},
    },
    "Deployment": {
        "metadata": {"labels": LABELS, "annotations": {}, "ownerReferences": OWNERS, "managedFields": [{}]},
        "spec!": {"replicas": AMOUNT, "template!": {"spec!": POD_SPEC}},
        "status": {},
    },
    "LimitRange": {"spec!": {"limits": [{"type!": TEXT, **dict.fromkeys(BOUNDS, AMOUNTS)}]}},
    "ResourceQuota": {"spec!": {"hard": AMOUNTS, "scopeSelector": {"matchExpressions": [{}]}}, "status": {}},
}
"""What is read of each kind: mappings with their keys (`!`: must be there, `*`: any), lists, texts, amounts."""
SHOWN = 60


def odd_field(kind: str, raw: Any) -> str:
    """The first field that is not as Kubernetes writes it, in words; empty: none was found."""
    return _odd(raw, SHAPES[kind], "")


def _odd(value: Any, shape: Any, path: str) -> str:
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{path} is no list: {_short(value)}"
        return next((odd for i, one in enumerate(value) if (odd := _odd(one, shape[0], f"{path}[{i}]"))), "")
    if isinstance(shape, str):
        return "" if isinstance(value, CLASSES[shape]) else f"{path} is no {shape}: {_short(value)}"
    if not isinstance(value, Mapping):
        return f"{path} is no mapping of keys: {_short(value)}"
    for key, inner in dict.fromkeys(value, shape["*"]).items() if "*" in shape else shape.items():
        name = str(key).removesuffix("!")
        at = f"{path}.{name}" if path else name
        if value.get(name) is None:
            if key != name:
                return f"has no {at}"
        elif odd := _odd(value[name], inner, at):
            return odd
    return ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
