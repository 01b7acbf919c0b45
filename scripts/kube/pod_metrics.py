"""A stand-in for metrics-server: an HTTPS server on loopback that tells of pods' usage what a script wants it to tell.

It is an aggregated API (`metrics.k8s.io/v1beta1`): the API server forwards requests to it, so that whoever reads pod
metrics, the Horizontal Pod Autoscaler above all, reads them as from the real one.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .aggregated import AggregatedServer, NoMetrics, Query

__all__ = ["NoMetrics", "PodMetricsServer", "PodSample"]
GROUP, VERSION = "metrics.k8s.io", "v1beta1"
SERVICE = "pod-metrics"


@dataclass(frozen=True)
class PodSample:
    """What one pod used over the `window_s` seconds before `at_s` (Unix time)."""

    pod: str
    cpu_millicores: int
    at_s: float
    window_s: float
    memory_mib: int | None = None


Answerer = Callable[[str, str], Sequence[PodSample]]
"""(namespace, label selector) → what is known of its pods; raises `NoMetrics`."""


class PodMetricsServer(AggregatedServer):
    """Tells what `answer` says."""

    def __init__(self, certificate: tuple[Path, Path], answer: Answerer) -> None:
        def answered(words: list[str], query: Query) -> dict[str, Any]:
            if words == [""]:
                return _resources()
            if len(words) == 3 and words[0] == "namespaces" and words[2] == "pods":
                return _listing(words[1], answer(words[1], query.get("labelSelector", [""])[0]))
            raise LookupError(f"nothing at {'/'.join(words)}")

        super().__init__(certificate, GROUP, VERSION, SERVICE, answered)


def _resources() -> dict[str, Any]:
    pods = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}", "resources": [pods]}


def _listing(namespace: str, usages: Sequence[PodSample]) -> dict[str, Any]:
    items = []
    for usage in usages:
        amounts = {"cpu": f"{usage.cpu_millicores}m"}
        if usage.memory_mib is not None:
            amounts["memory"] = f"{usage.memory_mib}Mi"
        items.append(
            {
                "metadata": {"name": usage.pod, "namespace": namespace},
                "timestamp": dt.datetime.fromtimestamp(usage.at_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "window": f"{usage.window_s:g}s",
                "containers": [{"name": "main", "usage": amounts}],
            }
        )
    return {"kind": "PodMetricsList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}
