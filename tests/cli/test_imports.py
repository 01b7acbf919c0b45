"""`lwmecps import`: one command per kind; what it writes is a task file, and everything that it assumes is said."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.files import load_task
from services.cli.main import app

TABLE = "time,bs1,bs2\n2026-01-01T00:00:00Z,60,120\n2026-01-01T00:01:00Z,180,240\n"
TIMES = ["--time", "time", "--time-format", "iso", "--step", "60s", "--unit", "requests"]
REQUESTS = {"requests": {"cpu": "500m", "memory": "256Mi"}}


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "load.csv").write_text(TABLE)
    return tmp_path / "load.csv"


def test_a_task_file_is_written_to_standard_output_with_what_was_assumed(table: Path, tmp_path: Path) -> None:
    made = run("csv", table, *TIMES)
    assert made.exit_code == 0, made.output
    (tmp_path / "task.yaml").write_text(made.stdout)
    task = load_task(tmp_path / "task.yaml")
    assert isinstance(task, TaskSpec) and task.workload.recorded_users == ((1.0, 2.0), (3.0, 4.0))
    for said in ("note: requests: 600, in the source as in the task", "no cluster given", "pods needed"):
        assert said in made.stderr
    assert "# requests: 600" in made.stdout


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_file_of_either_form_is_taken_by_task_create(table: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"task.{form}"
    made = run(
        "csv", table, *TIMES, "--out", out, "--name", "mine", "--interval", "30s", "--horizon", 4, "--speedup", 2
    )
    assert made.exit_code == 0 and made.stdout == ""
    task = load_task(out)
    assert isinstance(task, TaskSpec)
    assert (task.name, task.interval_s, task.horizon, task.workload.speedup) == ("mine", 30.0, 4, 2.0)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_load_that_can_not_be_served_is_said_refused_or_scaled(table: Path) -> None:
    table.write_text(TABLE.replace("240", "240000"))
    made = run("csv", table, *TIMES)
    assert made.exit_code == 0 and "warning: app-bs2: 4,000 req/s at bs2" in made.stderr
    refused = run("csv", table, *TIMES, "--strict")
    assert refused.exit_code == 2 and refused.stdout == "" and "pods needed" in refused.stderr
    scaled = run("csv", table, *TIMES, "--strict", "--scale-to", "0.5")
    assert scaled.exit_code == 0 and "all users of load times" in scaled.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "command line: --unit: Field required"),
        ([*TIMES, "--step", "60"], "--step: '60' is no length of time with a unit"),
        ([*TIMES, "--cluster", "nowhere.yaml"], "nowhere.yaml: not readable"),
        ([*TIMES, "--at", "bs1=x"], "--at: says to which node of --cluster FILE"),
        ([*TIMES, "--out", "/nowhere/task.yaml"], "--out: /nowhere/task.yaml can't be written"),
        ([*TIMES, "--env-id", "v9"], "Invalid value for '--env-id'"),
    ],
)
def test_wrong_usage_is_one_message(table: Path, arguments: list[str], said: str) -> None:
    refused = run("csv", table, *arguments)
    assert refused.exit_code == 2 and said in refused.stderr and "Traceback" not in refused.output


def test_a_distribution_is_no_cluster(table: Path, tmp_path: Path) -> None:
    (tmp_path / "city.yaml").write_text("family: mec_city\n")
    refused = run("csv", table, *TIMES, "--cluster", tmp_path / "city.yaml")
    assert refused.exit_code == 2 and "holds a distribution" in refused.stderr
    made = run("csv", table, *TIMES, "--family", "mec_city", "--out", tmp_path / "out.yaml")
    assert made.exit_code == 0 and isinstance(load_task(tmp_path / "out.yaml"), TaskDistribution)


def test_an_import_is_registered_at_once_if_asked(registry: str, table: Path) -> None:
    made = CliRunner().invoke(app, ["--registry", registry, "import", "csv", str(table), *TIMES, "--create"])
    assert made.exit_code == 0, made.output
    task_id, name = made.stdout.split()
    assert name == "load"
    shown = CliRunner().invoke(app, ["--registry", registry, "task", "show", task_id])
    assert yaml.safe_load(shown.stdout)["workload"]["recorded_users"] == [[1, 2], [3, 4]]


def test_places_take_the_load_of_a_trace_by_name(table: Path, tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_text("bs2\tbs1\n0\t3\n3\t0\n")
    assert (
        run(
            "latency-matrix", tmp_path / "m.tsv", "--unit", "ms", "--direction", "rtt", "--out", tmp_path / "m.yaml"
        ).exit_code
        == 0
    )
    made = run("csv", table, *TIMES, "--cluster", tmp_path / "m.yaml", "--out", tmp_path / "task.yaml")
    assert made.exit_code == 0, made.output
    task = load_task(tmp_path / "task.yaml")
    assert isinstance(task, TaskSpec) and task.cluster.rtt_ms[0][1] == 3.0
    assert task.workload.recorded_users[0] == (2.0, 1.0)


def test_other_kinds_are_reached_by_their_commands(tmp_path: Path) -> None:
    minutes = ",".join(map(str, range(1, 1441)))
    hour = {"metric": {"node": "a"}, "values": [[1767225600, "1"], [1767225660, "2"]]}
    files = {
        "answer.json": json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [hour]}}),
        "MSRTMCR_0.csv": "timestamp,msname,providerrpc_rt,providerrpc_mcr,http_rt,http_mcr\n60000,MS_1,10,0.01,0,0\n",
        "d01.csv": f"HashOwner,HashApp,HashFunction,Trigger,{minutes}\no,a,f,http{',1' * 1440}\n",
        "sites.csv": "SITE_ID,LATITUDE,LONGITUDE\n1,-37.8,144.9\n2,-37.9,144.9\n",
        "net.json": json.dumps(
            {"entity": [{"id": i, "RAM": 8, "IPT": 8} for i in (0, 1)], "link": [{"s": 0, "d": 1, "PR": 2, "BW": 1}]}
        ),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for arguments in (
        ["prometheus", "answer.json", "--unit", "rps", "--step", "60s", "--node", "node"],
        ["alibaba-microservices", "MSRTMCR_0.csv", "--calls-per-s", "1000"],
        ["azure-functions", "d01.csv"],
        ["eua", "sites.csv"],
        ["yafs", "net.json", "--time-unit", "ms", "--ram-unit", "GiB", "--ipt-per-core", "1"],
    ):
        out = tmp_path / f"{arguments[0]}.json"
        made = run(arguments[0], tmp_path / arguments[1], *arguments[2:], "--out", out)
        assert made.exit_code == 0, made.output
        assert isinstance(load_task(out), TaskSpec)


def node(name: str, ready: str = "True") -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": "8", "memory": "16Gi"}, "conditions": [{"type": "Ready", "status": ready}]},
    }


def deployment(name: str, namespace: str, replicas: int) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "resources": REQUESTS}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"kind": "Deployment", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def dump(folder: Path, items: list[Any], name: str = "dump.yaml") -> Path:
    whole = {"apiVersion": "v1", "kind": "List", "items": items}
    text = json.dumps(whole) if name.endswith(".json") else yaml.safe_dump(whole)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("name", ["dump.yaml", "dump.json"])
def test_a_dump_of_kubectl_is_a_task_without_a_cluster(tmp_path: Path, name: str) -> None:
    items = [
        node("n1"),
        node("n2"),
        node("n3", "False"),
        deployment("web", "shop", 2),
        {"kind": "Service", "metadata": {"name": "s"}},
    ]
    made = run("kubectl", dump(tmp_path, items, name), "--out", tmp_path / "task.json")
    assert made.exit_code == 0, made.output
    task = load_task(tmp_path / "task.json")
    assert isinstance(task, TaskSpec) and [n.name for n in task.cluster.nodes] == ["n1", "n2"]
    assert task.deployments[0].initial_replicas == 2 and task.deployments[0].cpu_millicores == 500.0
    assert task.kubernetes is not None and task.kubernetes.namespace == "shop" and not task.kubernetes.manage
    for said in (
        "node n3 left out: not Ready",
        "left out: 1 Service",
        "no LimitRange in the dump",
        "no pods in the dump",
    ):
        assert said in made.stderr


def test_dumps_of_several_namespaces_and_other_files_are_named(tmp_path: Path) -> None:
    items = [node("n1"), deployment("web", "shop", 2), deployment("db", "store", 1)]
    refused = run("kubectl", dump(tmp_path, items))
    assert refused.exit_code == 2 and "Deployments of shop, store: say whose, --namespace shop" in refused.stderr
    made = run("kubectl", dump(tmp_path, items), "--namespace", "store")
    assert made.exit_code == 0 and "1 Deployment elsewhere" in made.stderr
    for text, said in (
        ("- 1\n", "holds no Kubernetes object"),
        ("kind: List\nitems: [1]\n", "items[0] left out: has no metadata"),
        ("kind: {\n", "not readable"),
        ("kind: List\nitems: []\n", "0 Ready nodes, 0 Deployments"),
    ):
        (tmp_path / "odd.yaml").write_text(text)
        refused = run("kubectl", tmp_path / "odd.yaml")
        assert refused.exit_code == 2 and said in refused.stderr, refused.output


def test_one_odd_object_of_a_dump_costs_that_object(tmp_path: Path) -> None:
    ranges = [
        {"kind": "LimitRange", "metadata": {"name": name, "namespace": "shop"}, **more}
        for name, more in (("no-spec", {}), ("no-list", {"spec": {"limits": "x"}}))
    ]
    web = deployment("web", "shop", 2)
    items = [node("n1"), node("n1"), web, web, None, {"kind": "Pod", "metadata": {}}, *ranges]
    made = run("kubectl", dump(tmp_path, items), "--out", tmp_path / "task.json")
    assert made.exit_code == 0, made.output
    for said in (
        "Node n1 is there twice: the first counts",
        "Deployment web is there twice: the first counts",
        "items[4] left out: has no metadata with a name",
        "items[5] left out",
        "LimitRange no-spec left out",
        "LimitRange no-list left out",
    ):
        assert said in made.stderr
    task = load_task(tmp_path / "task.json")
    assert isinstance(task, TaskSpec) and [d.name for d in task.deployments] == ["web"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("spec", "template"), None, "Deployment web left out: has no spec.template"),
        (("spec", "template", "spec"), 5, "Deployment web left out: spec.template.spec is no mapping of keys: 5"),
        (("spec", "template", "spec", "containers"), "x", "spec.template.spec.containers is no list: 'x'"),
        (("spec", "replicas"), [1], "Deployment web left out: spec.replicas is no quantity: [1]"),
        (("metadata", "labels"), ["a"], "Deployment web left out: metadata.labels is no mapping of keys: ['a']"),
    ],
)
def test_what_is_odd_about_an_object_is_said_by_its_field(
    tmp_path: Path, path: tuple[str, ...], value: Any, said: str
) -> None:
    odd = at = deployment("web", "shop", 2)
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    made = run("kubectl", dump(tmp_path, [node("n1"), deployment("db", "shop", 1), odd]))
    assert made.exit_code == 0 and said in made.stderr, made.stderr


def test_a_reason_of_an_object_that_is_odd_in_its_values_shows_the_value(tmp_path: Path) -> None:
    odd = node("n2")
    odd["status"]["allocatable"]["cpu"] = "8 cores"
    no_pod = {"kind": "Pod", "metadata": {"name": "p", "namespace": "shop", "uid": "u"}, "spec": {"containers": []}}
    made = run("kubectl", dump(tmp_path, [node("n1"), odd, no_pod, deployment("web", "shop", 1)]))
    assert made.exit_code == 0, made.stderr
    assert "node n2 left out: can't be read" in made.stderr and "8 cores" in made.stderr
    assert "pod p left out: has no metadata.creationTimestamp" in made.stderr


def test_null_is_nothing_as_kubernetes_has_it(tmp_path: Path) -> None:
    web, one = deployment("web", "shop", 2), node("n1")
    web["spec"]["replicas"] = web["metadata"]["labels"] = web["status"] = None
    one["spec"] = one["metadata"]["labels"] = None
    made = run("kubectl", dump(tmp_path, [one, web]), "--out", tmp_path / "task.json")
    assert made.exit_code == 0, made.stderr
    task = load_task(tmp_path / "task.json")
    assert isinstance(task, TaskSpec) and task.deployments[0].initial_replicas == 1


def test_dumps_in_json_are_read_object_by_object_and_yaml_up_to_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = [
        {
            "kind": "Pod",
            "metadata": {
                "name": f"web-5d4-{i}",
                "namespace": "shop",
                "uid": f"u{i}",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"pod-template-hash": "5d4"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d4"}],
                "managedFields": [{"fieldsV1": {"f:metadata": {}}}],
            },
            "spec": {"nodeName": "n2", "containers": [{"name": "c", "resources": REQUESTS, "env": [{"name": "A"}]}]},
            "status": {"phase": "Running"},
        }
        for i in range(50)
    ]
    items = [*pods, node("n1"), node("n2"), deployment("web", "shop", 50)]
    monkeypatch.setattr("lwmecps_core.tasks.importers.json_lists.PIECE", 1000)
    made = run("kubectl", dump(tmp_path, items, "dump.json"), "--out", tmp_path / "task.json")
    assert made.exit_code == 0 and "2 nodes, 1 Deployments, 50 pods of shop" in made.stderr, made.stderr
    task = load_task(tmp_path / "task.json")
    assert isinstance(task, TaskSpec) and task.deployments[0].allowed_nodes == ("n2", "n1")
    # As the API server gives it: the list's kind first, none in its items.
    nameless = [{key: value for key, value in pod.items() if key != "kind"} for pod in pods]
    (tmp_path / "pods.json").write_text(json.dumps({"kind": "PodList", "items": nameless}))
    made = run("kubectl", tmp_path / "pods.json", dump(tmp_path, items[50:], "rest.json"))
    assert made.exit_code == 0 and "50 pods of shop" in made.stderr, made.stderr
    monkeypatch.setattr("services.cli.kubectl_dump.MOST_YAML", 1000)
    refused = run("kubectl", dump(tmp_path, items))
    assert refused.exit_code == 2, refused.output
    for said in ("dump.yaml", "is too large", "write it as JSON (kubectl get … -o json)"):
        assert said in refused.stderr


def test_namespaces_that_are_none_are_refused(tmp_path: Path) -> None:
    web = deployment("web", "shop", 2)
    web["metadata"]["namespace"] = None
    assert run("kubectl", dump(tmp_path, [node("n1"), web])).exit_code == 0  # as Kubernetes writes the default one
    refused = run("kubectl", dump(tmp_path, [node("n1"), web]), "--namespace", "Bad_One")
    assert refused.exit_code == 2 and "namespace: String should match pattern" in refused.stderr


def test_a_folder_in_place_of_the_file_to_write_is_refused(table: Path, tmp_path: Path) -> None:
    refused = run("csv", table, *TIMES, "--out", tmp_path)
    assert refused.exit_code == 2 and "Is a directory" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["load.csv"]
