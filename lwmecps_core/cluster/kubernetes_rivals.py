"""Who else writes the replicas of Deployments: autoscalers, GitOps tools, operators.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply (managed fields); KEDA's `ScaledObject`.
"""

import re
from collections.abc import Callable, Sequence

from lwmecps_core.cluster.kubernetes_api import FIELD_MANAGER, Json
from lwmecps_core.errors import AccessDenied, NotFound

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
