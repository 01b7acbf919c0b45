"""What KEDA does between an HPA and an external scaler: an aggregated `external.metrics.k8s.io/v1beta1` on loopback.

Every read of a metric asks the scaler for it, as KEDA's own adapter does: the prefix `s0-` is taken off, a value that
counts as a float only above 0 is told in thousandths, and what the scaler refuses is a metric that can't be had.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from kubernetes import client

from protos.keda import externalscaler_pb2 as pb
from protos.keda.externalscaler_pb2_grpc import ExternalScalerStub

from .aggregated import AggregatedServer, NoMetrics, Query

GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
SERVICE = "external-metrics"
PREFIX = "s0-"
CALL_S = 5.0


class ExternalMetricsServer(AggregatedServer):
    """Asks the scaler at `address` for the one trigger with this `metadata`; both may be changed."""

    def __init__(self, certificate: tuple[Path, Path], address: str, metadata: Mapping[str, str]) -> None:
        self.address, self.metadata = address, dict(metadata)
        super().__init__(certificate, GROUP, VERSION, SERVICE, self._answer)

    def register(self, api: client.ApiClient) -> None:
        """See the base class; and let the autoscaler read external metrics, which no role of its own does."""
        rbac = client.RbacAuthorizationV1Api(api)
        rule = {"apiGroups": [GROUP], "resources": ["*"], "verbs": ["get", "list"]}
        rbac.create_cluster_role({"metadata": {"name": SERVICE}, "rules": [rule]})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": SERVICE}
        account = {"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"}
        binding = {"metadata": {"name": SERVICE}, "roleRef": role, "subjects": [account]}
        rbac.create_cluster_role_binding(binding)
        super().register(api)

    def unregister(self, api: client.ApiClient) -> None:
        """Undo `register`."""
        super().unregister(api)
        rbac = client.RbacAuthorizationV1Api(api)
        rbac.delete_cluster_role_binding(SERVICE)
        rbac.delete_cluster_role(SERVICE)

    def spec(self, namespace: str) -> dict[str, Any]:
        """The metric as it stands in an HPA (autoscaling/v2beta2)."""
        with grpc.insecure_channel(self.address) as channel:
            (spec,) = ExternalScalerStub(channel).GetMetricSpec(self._ref(namespace), timeout=CALL_S).metricSpecs
        target = spec.targetSizeFloat if spec.targetSizeFloat > 0 else spec.targetSize
        aim = {"type": "AverageValue", "averageValue": f"{round(1000 * target)}m"}
        return {"type": "External", "external": {"metric": {"name": PREFIX + spec.metricName}, "target": aim}}

    def _ref(self, namespace: str) -> pb.ScaledObjectRef:
        return pb.ScaledObjectRef(name="scaled", namespace=namespace, scalerMetadata=self.metadata)

    def _answer(self, words: list[str], query: Query) -> dict[str, Any]:
        if words == [""]:
            return _no_resources()
        if len(words) != 3 or words[0] != "namespaces":
            raise LookupError(f"nothing at {'/'.join(words)}")
        request = pb.GetMetricsRequest(scaledObjectRef=self._ref(words[1]), metricName=words[2].removeprefix(PREFIX))
        try:
            with grpc.insecure_channel(self.address) as channel:
                values = ExternalScalerStub(channel).GetMetrics(request, timeout=CALL_S).metricValues
        except grpc.RpcError as error:
            raise NoMetrics(f"{error.code().name}: {error.details()}") from None
        return _values([max(v.metricValueFloat, 0.0) or float(v.metricValue) for v in values], words[2])


def _no_resources() -> dict[str, Any]:
    """Any metric may be asked for, so none is listed."""
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}", "resources": []}


def _values(values: list[float], name: str) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    items = [
        {"metricName": name, "metricLabels": None, "timestamp": now, "value": f"{round(1000 * value)}m"}
        for value in values
    ]
    return {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}
