"""What the scheduler keeps for a pod, and where it may put one, against the rules that Kubernetes documents."""

from typing import Any

import pytest

from lwmecps_core.cluster.kubernetes_constraints import selects, unrepresented, untolerated
from lwmecps_core.cluster.kubernetes_objects import node_of, pod_requests


def _container(cpu: str = "", memory: str = "", **more: Any) -> dict[str, Any]:
    given = {kind: amount for kind, amount in (("cpu", cpu), ("memory", memory)) if amount}
    return {"name": "c", "resources": {"requests": given}, **more}


MAIN = [_container("500m", "256Mi")]
SIDECAR = _container("200m", "64Mi", restartPolicy="Always")


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ({"containers": [_container("500m", "256Mi"), _container("1", "1Gi")]}, (1500, 1280)),
        ({"containers": [{"resources": {"limits": {"cpu": "500m", "memory": "256Mi"}}}]}, (500, 256)),
        ({"containers": [{"resources": {"requests": {"cpu": "0"}, "limits": {"cpu": 2, "memory": "1Mi"}}}]}, (0, 1)),
        ({"containers": [{"name": "says nothing"}]}, (0, 0)),
        # An init container alone before the rest, the dearest of several.
        ({"initContainers": [_container("3", "6Gi"), _container("1", "8Gi")], "containers": MAIN}, (3000, 8192)),
        ({"initContainers": [_container("100m", "16Mi")], "containers": MAIN}, (500, 256)),
        # A sidecar runs beside the containers, and beside the init containers that come after it.
        ({"initContainers": [SIDECAR], "containers": MAIN}, (700, 320)),
        ({"initContainers": [SIDECAR, _container("600m")], "containers": MAIN}, (800, 320)),
        ({"initContainers": [_container("600m"), SIDECAR], "containers": MAIN}, (700, 320)),
        ({"containers": MAIN, "overhead": {"cpu": "250m", "memory": "120Mi"}}, (750, 376)),
        # Requests of the pod as a whole win over those of its containers; its limits stand in for all.
        ({"containers": MAIN, "resources": {"requests": {"cpu": "2"}}}, (2000, 256)),
        ({"containers": [{}], "resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}, (2000, 1024)),
    ],
)
def test_what_is_kept_for_a_pod_is_what_the_scheduler_computes(spec: Any, kept: tuple[float, float]) -> None:
    assert pod_requests(spec) == pytest.approx(kept)


def test_a_namespaces_defaults_stand_in_where_a_container_says_neither_requests_nor_limits() -> None:
    limited = {"resources": {"limits": {"cpu": "2"}}}
    spec = {"initContainers": [{}], "containers": [{}, limited, _container("250m")]}
    assert pod_requests(spec, {"cpu": "100m", "memory": "32Mi"}) == pytest.approx((2350, 96))


ON_2 = {"key": "metadata.name", "operator": "In", "values": ["node-2"]}
LABELS = {"zone": "north", "cores": "8"}


def _affinity(*terms: Any) -> dict[str, Any]:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": required}}


def _one(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "there"),
    [
        ({}, True),
        ({"nodeName": "node-2"}, False),
        ({"nodeSelector": {"zone": "north"}}, True),
        ({"nodeSelector": {"zone": "north", "disk": "ssd"}}, False),
        (_affinity(_one("zone", "In", "south", "north")), True),
        (_affinity(_one("zone", "NotIn", "north")), False),
        (_affinity(_one("disk", "NotIn", "ssd")), True),
        (_affinity(_one("disk", "Exists")), False),
        (_affinity(_one("disk", "DoesNotExist")), True),
        (_affinity(_one("cores", "Gt", "4")), True),
        (_affinity(_one("cores", "Lt", "4")), False),
        (_affinity(_one("zone", "Gt", "4")), False),
        (_affinity(_one("disk", "Exists"), _one("zone", "Exists")), True),  # one term is enough
        (_affinity(_one("zone", "Exists") | {"matchFields": [ON_2]}), False),  # of a term all must hold
        (_affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}), True),
        (_affinity({}), False),
    ],
)
def test_a_node_is_selected_by_name_labels_and_required_affinity(spec: Any, there: bool) -> None:
    assert selects(spec, "node-1", LABELS) is there


@pytest.mark.parametrize(
    ("tolerations", "kept_off"),
    [
        ([], ["gpu"]),
        ([{"key": "gpu", "operator": "Exists"}], []),
        ([{"operator": "Exists"}], []),
        ([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}], []),
        ([{"key": "gpu", "value": "no"}], ["gpu"]),
        ([{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}], ["gpu"]),
    ],
)
def test_a_taint_keeps_pods_off_that_do_not_tolerate_it(tolerations: Any, kept_off: list[str]) -> None:
    taints = [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}, {"key": "busy", "effect": "PreferNoSchedule"}]
    assert untolerated({"tolerations": tolerations}, taints) == kept_off


def test_a_cordon_is_a_taint() -> None:
    node = node_of({"metadata": {"name": "a"}, "spec": {"unschedulable": True}})
    assert untolerated({}, node.taints) == ["node.kubernetes.io/unschedulable"]


def test_constraints_by_other_pods_are_named() -> None:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}
    wish = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}
    spec = {
        "affinity": {"podAntiAffinity": required, "podAffinity": wish},
        "topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}],
    }
    assert unrepresented(spec) == ["required podAntiAffinity", "topologySpreadConstraints"]
    assert unrepresented({}) == []


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"schedulerName": "volcano"}, "the scheduler volcano"),
        ({"schedulerName": "default-scheduler"}, ""),
        ({"containers": [{"ports": [{"containerPort": 80}, {"hostPort": 8080}]}]}, "hostPort 8080"),
        ({"containers": [{"resources": {"limits": {"nvidia.com/gpu": 1, "cpu": 1}}}]}, "requests of nvidia.com/gpu"),
        ({"volumes": [{"name": "tmp", "emptyDir": {}}]}, ""),
        ({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "d"}}]}, "the persistent volume data"),
        ({"topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}]}, ""),
    ],
)
def test_what_a_task_does_not_say_of_pods_is_named(spec: Any, what: str) -> None:
    found = unrepresented(spec)
    assert [name for name in found if not name.startswith(what)] == [] and bool(found) is bool(what)
