"""The parts of the Kubernetes backend that need no cluster: names, limits, what is read from objects and sources."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast

import numpy as np
import pytest

from lwmecps_core.cluster.kubernetes import KubernetesBackend
from lwmecps_core.cluster.kubernetes_objects import deployment_of, node_of, pod_of, quantity, whereabouts
from lwmecps_core.cluster.kubernetes_placement import HOSTNAME, OWN, Placer, pool_names
from lwmecps_core.cluster.kubernetes_safety import with_few_moves, with_min_replicas
from lwmecps_core.cluster.kubernetes_sources import ExperimentGroup, Prometheus, Twin
from lwmecps_core.errors import Conflict, InvalidInput, SourceUnavailable
from lwmecps_core.specs import ApplicationSpec, ClusterSpec, DeploymentSpec, KubernetesSpec, NodeSpec, PrometheusSpec
from lwmecps_core.testing.backends import conformance_task


def _named(nodes: list[str], deployments: list[str]) -> Any:
    task, n, d = conformance_task(), len(nodes), len(deployments)
    cluster = ClusterSpec(
        nodes=tuple(NodeSpec(name=name, cpu_millicores=1e3, ram_mib=1e3) for name in nodes), rtt_ms=((0.0,) * n,) * n
    )
    share = ((0.5 / d,) * d,) * n
    workload = replace(task.workload, base_users=(1.0,) * n, share=share)
    specs = tuple(DeploymentSpec(name=name) for name in deployments)
    return replace(task, cluster=cluster, deployments=specs, workload=workload)


def test_a_pool_is_named_after_its_deployment_and_node() -> None:
    assert pool_names(conformance_task()) == {
        "web-node-a": (0, 0),
        "web-node-b": (0, 1),
        "api-node-a": (1, 0),
        "api-node-b": (1, 1),
    }


def test_names_that_are_too_long_no_label_or_ambiguous_get_a_digest() -> None:
    nodes = ["n" * 70, "ip-10-0-0-1.ec2.internal", "b-c", "c"]
    names = pool_names(_named(nodes, ["a-b", "a", "a-c"]))
    assert len(names) == 12 and all(len(name) <= 63 and "." not in name for name in names)
    places = {place: name for name, place in names.items()}
    assert places[0, 3] != "a-b-c" != places[1, 2]  # deployment a-b at c, and a at b-c
    assert places[1, 3] != "a-c"  # a deployment of the task has that name
    assert names == pool_names(_named(nodes, ["a-b", "a", "a-c"]))


def _made(replicas: int, name: str = "", mark: str = "m") -> Any:
    """A Deployment: a pool of ours when it has a name."""
    labels = {"app.kubernetes.io/managed-by": "lwmecps", "lwmecps.io/pool": name} if name else {}
    meta = {"name": name or "x", "labels": labels, "annotations": {"lwmecps.io/template": mark}}
    return deployment_of({"metadata": meta, "spec": {"replicas": replicas}})


def _placer() -> Placer:
    placer = Placer(cast(Any, None), conformance_task(), KubernetesSpec(namespace="city"), lambda: None)
    placer._marks = dict.fromkeys(placer.pools.values(), "m")
    return placer


def test_removals_go_first_and_what_is_as_it_should_be_is_left() -> None:
    there = {"web": _made(2), "web-node-a": _made(1, "web-node-a"), "web-node-b": _made(0, "web-node-b")}
    there["api-node-a"] = _made(1, "api-node-a")
    changes = _placer().plan(_counts([0, 3], [1, 0]), there)
    assert [(c.name, c.replicas) for c in changes] == [("web", 0), ("web-node-a", 0), ("web-node-b", 3)]


def test_a_pool_made_from_an_older_template_is_made_anew() -> None:
    there = {"web-node-a": _made(1, "web-node-a", mark="old")}
    assert [c.name for c in _placer().plan(_counts([1, 0], [0, 0]), there)] == ["web-node-a"]


def test_a_deployment_of_somebody_else_with_a_pools_name_is_neither_placed_on_nor_rolled_back() -> None:
    there = {"web": _made(0), "web-node-a": _made(4), "web-node-b": _made(2, "web-node-b")}
    with pytest.raises(Conflict, match="web-node-a in namespace city exists and is not lwmecps's"):
        _placer().plan(_counts([1, 0], [0, 0]), there)
    back = _placer().plan_back({"web": 2}, there)
    assert sorted((c.name, c.n, c.replicas) for c in back) == [("web", OWN, 2), ("web-node-b", 1, 0)]


class _OneList:
    """An API server that lists these Deployments, and nothing else."""

    def __init__(self, *deployments: Any) -> None:
        self._items = deployments

    def persist(self, *_: Any) -> Any:
        return {"items": self._items}


def _as_deployed(name: str, **pod: Any) -> Any:
    return {"metadata": {"name": name}, "spec": {"selector": {}, "template": {"spec": {"containers": [], **pod}}}}


def test_a_task_that_lets_pods_run_where_their_deployment_does_not_is_refused() -> None:
    pinned = _as_deployed("api", nodeSelector={"kubernetes.io/hostname": "b"})
    task, api = conformance_task(), cast(Any, _OneList(_as_deployed("web"), pinned))
    nodes = {
        raw["metadata"]["name"]: node_of(raw | {"metadata": raw["metadata"] | {"labels": {HOSTNAME: hostname}}})
        for raw, hostname in ((_node("node-a"), "a"), (_node("node-b"), "b"))
    }
    web, api_ = task.deployments
    with pytest.raises(
        InvalidInput, match=r"deployments\[1\].allowed_nodes: Deployment api .* off node 'node-a'"
    ) as caught:
        Placer(api, task, KubernetesSpec(), lambda: None).read_templates(nodes)
    assert len(caught.value.violations) == 1
    narrowed = replace(task, deployments=(web, replace(api_, allowed_nodes=("node-b",))))
    Placer(api, narrowed, KubernetesSpec(), lambda: None).read_templates(nodes)


def _nodes(taints: Any = ()) -> Any:
    first = _node("node-a")
    first["spec"] = {"taints": list(taints)}
    return {raw["metadata"]["name"]: node_of(raw) for raw in (first, _node("node-b"))}


def _reading(*deployments: Any) -> Placer:
    placer = Placer(cast(Any, _OneList(*deployments)), conformance_task(), KubernetesSpec(), lambda: None)
    placer.read_templates(_nodes())
    return placer


def test_new_pods_are_kept_off_where_a_taint_is_now_and_a_node_that_is_away_is_waited_for() -> None:
    tolerant = _as_deployed("api", tolerations=[{"key": "gpu", "operator": "Exists"}])
    placer = _reading(_as_deployed("web"), tolerant)
    assert placer.kept_off_now(_nodes()) == {}
    kept_off = placer.kept_off_now(_nodes([{"key": "gpu", "effect": "NoSchedule"}]))
    assert list(kept_off) == [(0, 0)] and "Deployment web does not tolerate: gpu" in kept_off[0, 0]
    away = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]
    assert placer.kept_off_now(_nodes(away)) == placer.kept_off_now({}) == {}


def test_a_deployment_with_what_no_task_says_is_named() -> None:
    container = {"name": "main", "ports": [{"hostPort": 80}], "resources": {"requests": {"cpu": "1"}}}
    placer = _reading(_as_deployed("web", containers=[container]), _as_deployed("api"))
    ranges = [{"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}}]}}]
    assert [(v.field, v.reason) for v in placer.refusals(ranges)] == [
        ("deployments[0].name", "Deployment web has hostPort 80: no task says that"),
        ("deployments[0].name", "Deployment web: LimitRange l: container main requests 1000m of cpu, at least 2000m"),
    ]


def test_a_pods_share_in_use_is_of_what_runs_not_of_what_is_kept_for_its_start() -> None:
    raw = _pod("p", "node-a")
    raw["spec"]["initContainers"] = [{"resources": {"requests": {"cpu": "3", "memory": "6Gi"}}}]
    pod = pod_of(raw)
    assert (pod.cpu_millicores, pod.ram_mib, pod.running_millicores) == (3000.0, 6144.0, 500.0)


def _counts(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int32)


def test_few_moves_create_before_they_remove() -> None:
    current, wanted = _counts([3, 0], [1, 1]), _counts([0, 2], [1, 2])
    steps = []
    for _ in range(4):
        current = with_few_moves(current, wanted, 2)
        steps.append(current.tolist())
    assert steps == [[[3, 2], [1, 1]], [[2, 2], [1, 2]], [[0, 2], [1, 2]], [[0, 2], [1, 2]]]


def test_min_replicas_keep_what_is_there_and_then_come_home() -> None:
    limit, most, homes = _counts([4, 4], [1, 4]), np.array([8, 8]), np.array([0, 0], np.int32)
    three = np.array([3, 3])
    kept = with_min_replicas(_counts([0, 2], [0, 0]), _counts([0, 0], [0, 0]), limit, most, homes, three)
    assert kept.tolist() == [[1, 2], [1, 2]]
    enough = _counts([0, 3], [0, 3])
    assert with_min_replicas(kept, enough, limit, most, homes, three).tolist() == enough.tolist()


def test_quantities_are_read() -> None:
    assert [quantity(text) for text in ("250m", "2", "1Gi", "128974848")] == [0.25, 2.0, 2.0**30, 128974848.0]


def _pod(name: str, node: str = "", ready: bool = False, owner: str = "web-node-a", **extra: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    if extra.get("refused"):
        conditions = [{"type": "PodScheduled", "status": "False", "message": extra["refused"]}]
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"pod-template-hash": "5f7"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{owner}-5f7"}],
            **({"deletionTimestamp": "2026-01-01T00:00:09Z"} if extra.get("ending") else {}),
        },
        "spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]},
        "status": {"phase": "Running", "conditions": conditions},
    }


def _node(name: str, ready: bool = True) -> dict[str, Any]:
    status = {"allocatable": {"cpu": "2", "memory": "4Gi"}, "conditions": [{"type": "Ready", "status": str(ready)}]}
    return {"metadata": {"name": name}, "status": status}


def _deployment(replicas: int) -> dict[str, Any]:
    meta = {"name": "web-node-a", "generation": 3}
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": {"observedGeneration": 3}}


BORN_S = 1767225600.0


def _seen(pods: list[dict[str, Any]], replicas: int, after_s: float = 1.0, nodes: Any = None) -> Any:
    nodes = nodes or [_node("node-a"), _node("node-b")]
    return whereabouts(
        ("node-a", "node-b"),
        {"web-node-a": (0, 0), "web-node-b": (0, 1)},
        (1, 2),
        {raw["metadata"]["name"]: node_of(raw) for raw in nodes},
        {"web-node-a": deployment_of(_deployment(replicas))},
        {raw["metadata"]["name"]: pod_of(raw) for raw in pods},
        BORN_S + after_s,
        60.0,
    )


def test_pods_are_counted_by_where_they_are_and_how_they_do() -> None:
    pods = [
        _pod("p1", "node-a", ready=True),
        _pod("p2", "node-a"),
        _pod("p3", refused="0/2 nodes are available"),
        _pod("p4", "node-a", ready=True, ending=True),
        _pod("x", "node-b", ready=True, owner="other"),
    ]
    seen = _seen(pods, 3)
    assert (seen.ready.tolist(), seen.starting.tolist(), seen.pending.tolist()) == ([[1, 0]], [[1, 0]], [[1, 0]])
    assert (seen.unsettled, seen.scheduled) == ((), {"p1", "p2"}) and seen.placed.tolist() == [[2, 0]]
    assert seen.cpu_requested.tolist() == [0.5, 0.25] and seen.ram_requested.tolist() == [0.5, 0.25]
    assert seen.refused == ("web-node-a: 0/2 nodes are available",)


def test_pods_that_were_not_created_yet_are_pending_and_the_placement_is_not_settled() -> None:
    seen = _seen([_pod("p1", "node-a", ready=True)], 4)
    assert (seen.pending.tolist(), seen.unsettled) == ([[3, 0]], ("web-node-a",))


def test_a_pod_that_is_not_ready_in_time_or_whose_node_is_away_is_pending() -> None:
    late = _seen([_pod("p1", "node-a")], 1, after_s=61.0)
    assert (late.starting.sum(), late.pending.tolist()) == (0, [[1, 0]])
    for nodes in ([_node("node-a", ready=False)], [_node("node-b")]):
        away = _seen([_pod("p1", "node-a", ready=True)], 1, nodes=nodes)
        assert (away.ready.sum(), away.pending.tolist(), away.placed.tolist()) == (0, [[1, 0]], [[1, 0]])


def test_a_thousand_nodes_and_five_thousand_pods_are_read_well_within_an_interval(benchmark_s: Any) -> None:
    nodes = tuple(f"node-{n}" for n in range(1000))
    pools = {f"web-{node}": (0, n) for n, node in enumerate(nodes)}
    raw = [_pod(f"p{i}", nodes[i % 1000], True, f"web-{nodes[i % 1000]}") for i in range(5000)]
    texts = [json.dumps(pod) for pod in raw]
    known = {name: node_of(_node(name)) for name in nodes}
    asked = {name: deployment_of(_deployment(5)) for name in pools}
    with benchmark_s(5.0):  # an interval lasts 10 s by default
        pods = {f"p{i}": pod_of(json.loads(text)) for i, text in enumerate(texts)}
        seen = whereabouts(nodes, pools, (1, 1000), known, asked, pods, BORN_S, 60.0)
    assert (seen.ready == 5).all() and not seen.unsettled


@pytest.fixture
def benchmark_s() -> Any:
    import contextlib
    import time

    @contextlib.contextmanager
    def within(limit_s: float) -> Iterator[None]:
        began = time.process_time()
        yield
        assert time.process_time() - began < limit_s

    return within


def test_the_twin_serves_with_the_replicas_that_are_ready() -> None:
    task = conformance_task()
    twin = Twin(task)
    began = twin.begin(1)
    assert began.ready.tolist() == [[1, 0], [1, 0]]
    without = twin.advance(_counts([0, 0], [0, 0]))
    assert without.failed_share_total == 1.0
    assert twin.advance(_counts([2, 1], [1, 0])).failed_share_total < 0.1


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = self.server.answers(self.path)  # type: ignore[attr-defined]
        self.send_response(200 if answer is not None else 500)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def source() -> Iterator[Any]:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield server
    server.shutdown()
    server.server_close()


def test_prometheus_is_asked_once_per_quantity_with_the_template_filled_in(source: Any) -> None:
    asked = []

    def answers(path: str) -> Any:
        asked.append(path)
        rows = [("api", "3.5"), ("web", "NaN"), ("other", "9")]
        vector = [{"metric": {"deployment": name}, "value": [0, value]} for name, value in rows]
        return {"status": "success", "data": {"resultType": "vector", "result": vector}}

    source.answers = answers
    query = 'sum by (deployment) (rate(requests_total{namespace="$namespace"}[$interval]))'
    spec = PrometheusSpec(base_url=source.url, rate_query=query, latency_p95_ms_query="p95")
    seen = Prometheus(spec, conformance_task(), "city").read(10.0, np.ones(2))
    assert seen.request_rate is not None and seen.request_rate.tolist() == [0.0, 3.5]
    assert (seen.latency_ms, seen.failed_share, seen.latency_p95_ms) == (None, None, 9.0)
    assert len(asked) == 2 and "$" not in "".join(asked) and "namespace%3D%22city%22%7D%5B10s%5D" in asked[1]


def test_an_experiment_group_shows_the_difference_between_two_readings(source: Any) -> None:
    totals = iter([(100, 1.0, 20.0), (150, 0.9, 19.6)])

    def answers(path: str) -> Any:
        assert path == "/group_stats?group_id=g1"
        count, success, latency = next(totals)
        return {"total_requests": count, "success_rate": success, "average_latency": latency}

    source.answers = answers
    group = ExperimentGroup(ApplicationSpec(base_url=source.url, group_id="g1"))
    first = group.read(10.0, np.array([0.8, 0.2]))
    assert first.request_rate is not None and first.request_rate.tolist() == [0.0, 0.0]
    seen = group.read(10.0, np.array([0.8, 0.2]))
    # 50 came, of which 15 failed and count as -1 ms each: 2940 ms - 2000 ms + 15 ms over 35.
    assert seen.latency_ms is not None and seen.failed_share is not None and seen.request_rate is not None
    np.testing.assert_allclose(seen.latency_ms, 955.0 / 35.0)
    np.testing.assert_allclose(seen.failed_share, 0.3)
    assert seen.request_rate[0] == pytest.approx(4 * seen.request_rate[1])


def test_a_source_that_does_not_answer_is_named(source: Any) -> None:
    source.answers = lambda path: None
    spec = PrometheusSpec(base_url=source.url, rate_query="up")
    with pytest.raises(SourceUnavailable, match=f"Prometheus at {source.url}.*500"):
        Prometheus(spec, conformance_task(), "city").read(10.0, np.ones(2))


def test_a_task_without_its_cluster_is_refused() -> None:
    with pytest.raises(InvalidInput, match="kubernetes: is required"):
        KubernetesBackend(conformance_task())


def test_a_kubeconfig_that_can_not_be_read_is_named(tmp_path: Any) -> None:
    task = replace(conformance_task(), kubernetes=KubernetesSpec())
    with pytest.raises(InvalidInput, match=r"missing\.yaml"):
        KubernetesBackend(task, tmp_path / "missing.yaml")
