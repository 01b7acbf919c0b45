import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from lwmecps_core.config import dump
from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import CallSpec, MobilitySpec, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.tasks.files import load_task, read_task_file, task_to_yaml
from services.common import convert

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

USER_TASK = {
    "node_name": ["node1", "node2"],
    "max_hardware": {"cpu": 8, "ram": 16000, "tx_bandwidth": 1000, "rx_bandwidth": 900, "avg_latency": 30},
    "pod_usage": {"cpu": 2, "ram": 2000, "tx_bandwidth": 20, "rx_bandwidth": 10, "read_disks_bandwidth": 100},
    "node_info": {"node2": {"cpu": 4, "avg_latency": 10}},
    "deployments": ["app-1", {"name": "app-2", "replicas": 3, "cpu_time_ms": 200}],
    "max_pods": 6,
    "episodes": 50,
}


def write(directory: Path, data: dict, name: str = "task.yaml") -> Path:
    path = directory / name
    path.write_text(json.dumps(data) if name.endswith(".json") else yaml.safe_dump(data))
    return path


def change(data: dict, path: str, value: object) -> dict:
    """A copy of `data` with the value at the dotted path replaced or added."""
    data = json.loads(json.dumps(data))
    *way, last = path.split(".")
    at = data
    for key in way:
        at = at[int(key)] if key.isdigit() else at.setdefault(key, {})
    at[int(last) if last.isdigit() else last] = value
    return data


def violations(path: Path, **kwargs: Path) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        load_task(path, **kwargs)
    assert caught.value.source.startswith(str(path.parent))
    return {v.field: v.reason for v in caught.value.violations}


def write_station(directory: Path, number: int, users: list[float], **settings: object) -> None:
    hosts = [{"host": f"server-{(number - 1 + k) % 2 + 1}", "port": 80} for k in range(2)]
    steps = [{"concurrent_users": u, "request_interval": 10, "profile_duration": 10} for u in users]
    data = {"id": f"bs_{number}", "timeout": 0.4, "settings": {"hosts": hosts, "load_profiles": steps, **settings}}
    (directory / f"bs_{number}_profile.json").write_text(json.dumps(data))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_example_loads(path):
    task = load_task(path)
    assert isinstance(task if isinstance(task, TaskSpec) else draw(task, 0), TaskSpec)


@pytest.mark.parametrize("name", ["task.yaml", "task.json"])
def test_the_users_form_becomes_a_task_in_our_units(tmp_path, name):
    task = load_task(write(tmp_path, USER_TASK, name))
    one, two = task.cluster.nodes
    assert (one.cpu_millicores, one.ram_mib, one.tx_mbps, one.rx_mbps, one.access_latency_ms) == (
        8000,
        16000,
        1000,
        900,
        30,
    )
    assert (two.cpu_millicores, two.ram_mib, two.access_latency_ms) == (4000, 16000, 10)
    assert task.cluster.rtt_ms == ((0, 40), (40, 0))
    first, second = task.deployments
    assert (first.name, first.cpu_millicores, first.ram_mib, first.tx_mbps) == ("app-1", 2000, 2000, 20)
    assert (first.max_replicas, first.initial_replicas, first.allowed_nodes) == (6, 1, ("node1",))
    assert (second.initial_replicas, second.cpu_time_ms, second.allowed_nodes) == (3, 200, ("node2",))
    assert task.episodes == 50
    assert task.workload.share == ((1, 0), (0, 1)) and task.workload.failover == ((0, 1), (1, 0))


def test_deployments_of_v4_run_anywhere_unless_the_file_names_their_node(tmp_path):
    data = change(change(USER_TASK, "env_id", "lwmecps-v4"), "deployments.1.node", "node1")
    task = load_task(write(tmp_path, data))
    assert [d.allowed_nodes for d in task.deployments] == [(), ("node1",)]


def test_the_users_form_has_tiers_calls_power_and_users_who_move(tmp_path):
    cloud = {"nodes": ["node2"], "avg_latency": 25, "replica_hour": 0.02, "busy_watts": 300, "users": 0}
    data = change(USER_TASK, "tiers.cloud", cloud)
    data = change(data, "node_info.node2", {"cpu": 4, "idle_watts": 100})
    data = change(data, "deployments.0", {"name": "app-1", "calls": {"app-2": 2.5}})
    data = change(data, "workload.mobility", {"leave": 0.1})
    task = load_task(write(tmp_path, data))
    one, two = task.cluster.nodes
    assert (one.replica_hour, one.idle_watts, one.busy_watts) == (None, 0.0, 0.0)
    assert (two.cpu_millicores, two.access_latency_ms, two.replica_hour) == (4000, 25, 0.02)
    assert (two.idle_watts, two.busy_watts) == (100, 300)
    assert task.workload.base_users == (17.0, 0.0) and task.workload.mobility == MobilitySpec(leave=0.1)
    assert [d.calls for d in task.deployments] == [(CallSpec(deployment="app-2", times=2.5),), ()]
    (tmp_path / "native.yaml").write_text(task_to_yaml(task))
    assert load_task(tmp_path / "native.yaml") == task
    named = load_task(write(tmp_path, change(data, "deployments.0.calls", ["app-2"]), "names.yaml"))
    assert named.deployments[0].calls == (CallSpec(deployment="app-2"),)


def test_a_link_that_is_listed_has_its_own_round_trip(tmp_path):
    data = change(USER_TASK, "links", [{"between": ["node2", "node1"], "rtt_ms": 7}])
    assert load_task(write(tmp_path, data)).cluster.rtt_ms == ((0, 7), (7, 0))


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        ("cpus", 3, "cpus", "Unexpected"),
        ("max_hardware.gpu", 1, "max_hardware.gpu", "Unexpected"),
        ("max_hardware.cpu", -1, "max_hardware.cpu", "greater than 0"),
        ("max_hardware.cpu", "many", "max_hardware.cpu", "number"),
        ("pod_usage.cpu", 9, "pod_usage.cpu", "more than any node has"),
        ("pod_usage.read_disks_bandwidth", 900, "pod_usage.read_disks_bandwidth", "more than any node has"),
        ("pod_usage.cpu", 6, "deployments[1]", "fits no node"),
        ("node_info.node3", {"cpu": 1}, "node_info.node3", "not in node_name"),
        ("node_info.node2.cpu", 16, "node_info.node2.cpu", "more than max_hardware"),
        ("node_info.node2.idle_watts", 5, ".", "node 'node2': idle_watts 5 must not exceed busy_watts 0"),
        ("tiers.cloud", {"nodes": ["node3"]}, "tiers.cloud", "'node3' is not in node_name"),
        ("tiers.cloud", {"nodes": ["node1"], "cpu": 16}, "tiers.cloud.cpu", "more than max_hardware"),
        ("tiers", {"a": {"nodes": ["node1"]}, "b": {"nodes": ["node1"]}}, "tiers", "'node1' stands 2 times"),
        ("deployments.1.calls", ["app-9"], ".", "calls names an unknown deployment 'app-9'"),
        ("deployments.1.calls", {"app-1": 0}, "deployments[1].calls[0].times", "greater than 0"),
        ("objective.energy", 1, ".", "nodes with busy_watts"),
        ("objective.latency", 1e300, ".", "objective: latency 1e+300 must not exceed 1e+15"),
        ("prices", {"move": 1e300}, ".", "prices: move 1e+300 must not exceed 1e+15"),
        ("node_info.node2.busy_watts", 1e300, ".", "node 'node2': busy_watts 1e+300 must not exceed 1e+15"),
        ("workload.base_users", [1e39, 1], ".", "workload.base_users 1e+39 must not exceed 1e+15"),
        ("workload.mobility.leave", 2, "workload.mobility.leave", "less than or equal to 1"),
        ("deployments.1.node", "node9", "deployments[1].node", "not in node_name"),
        ("deployments.1.replicas", 7, "deployments[1].replicas", "more than its maximum 6"),
        ("deployments", [], "deployments", "at least 1"),
        ("num_nodes", 5, ".", "num_nodes is 5"),
        ("links", [{"between": ["node1", "nodeX"], "rtt_ms": 1}], "links[0].between[1]", "not in node_name"),
        ("workload.base_users", [1, 2, 3], ".", "base_users must have one entry per node"),
        ("workload.amplitude", 2.0, "workload.amplitude", "less than or equal to 1"),
        ("objective.latency", -1, "objective.latency", "greater than or equal to 0"),
        ("cluster", {}, "cluster", "one form of the two"),
    ],
)
def test_a_wrong_file_is_refused_with_the_path_and_the_reason(tmp_path, path, value, field, reason):
    found = violations(write(tmp_path, change(USER_TASK, path, value)))
    assert reason in next(text for name, text in found.items() if name.startswith(field))


def test_any_drawn_task_or_distribution_survives_the_way_through_a_file(tmp_path):
    for item in (
        draw(TaskDistribution(), 1),
        draw(TaskDistribution(env_id="lwmecps-v4"), 2),
        TaskDistribution(nodes=7),
    ):
        (tmp_path / "task.yaml").write_text(task_to_yaml(item))
        assert load_task(tmp_path / "task.yaml") == item


def test_unknown_keys_of_a_native_task_are_refused(tmp_path):
    data = dump(draw(TaskDistribution(), 1))
    found = violations(write(tmp_path, change(data, "cluster.nodes.2.color", "red")))
    assert list(found) == ["cluster.nodes[2].color"]


def test_a_file_that_is_not_yaml_says_where(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text("a: [1, 2\nb: {")
    assert "line" in violations(path)["."]
    path.write_text("- just\n- a list")
    assert "mapping" in violations(path)["."]
    assert "No such file" in violations(tmp_path / "absent.yaml")["."]


def test_a_profile_beside_the_file_becomes_the_recorded_load(tmp_path):
    (tmp_path / "load").mkdir()
    write_station(tmp_path / "load", 1, [3, 4, 5])
    write_station(tmp_path / "load", 2, [6, 7, 8])
    task = load_task(write(tmp_path, change(USER_TASK, "workload", {"profile": "load", "speedup": 72})))
    w = task.workload
    assert w.recorded_users == ((3, 6), (4, 7), (5, 8))
    assert (w.pattern, w.arrivals, w.speedup, w.noise, w.request_interval_s) == ("recorded", "burst", 72, 0, 10)
    assert w.failover == ((0, 1), (1, 0))
    distribution = load_task(write(tmp_path, {"family": "load_profile", "profile": "load"}))
    assert (distribution.nodes, distribution.deployments) == (2, 2)
    assert np.array(distribution.recorded_users).shape == (3, 2)


def test_a_profile_may_not_leave_the_files_folder_unless_the_caller_opens_another(tmp_path):
    (tmp_path / "load").mkdir()
    (tmp_path / "tasks").mkdir()
    write_station(tmp_path / "load", 1, [3, 4])
    write_station(tmp_path / "load", 2, [3, 4])
    for name in ("../load", str(tmp_path / "load")):
        path = write(tmp_path / "tasks", change(USER_TASK, "workload", {"profile": name}))
        assert "leaves the folder" in violations(path)["workload.profile"]
    (tmp_path / "tasks" / "sly").symlink_to(tmp_path / "load")
    path = write(tmp_path / "tasks", change(USER_TASK, "workload", {"profile": "sly"}))
    assert "leaves the folder" in violations(path)["workload.profile"]
    path = write(tmp_path / "tasks", change(USER_TASK, "workload", {"profile": "load"}))
    assert load_task(path, profile_root=tmp_path).workload.pattern == "recorded"


def test_keys_that_a_profile_sets_can_not_stand_beside_it(tmp_path):
    data = change(USER_TASK, "workload", {"profile": "load", "base_users": [1, 2]})
    assert "can't stand beside profile" in violations(write(tmp_path, data))["workload.base_users"]


@pytest.mark.parametrize(("word", "read"), [("no", "false"), ("off", "false"), ("yes", "true")])
def test_a_name_that_yaml_reads_as_a_boolean_is_one_message_that_says_so(tmp_path, word, read):
    path = tmp_path / "task.yaml"
    for field, text in (("node_name[0]", f"[{word}]"), ("deployments[0].name", "[a]")):
        nodes, deployments = (text, "[web]") if field.startswith("node") else ("[a]", f"[{word}]")
        path.write_text(f"node_name: {nodes}\nmax_hardware: {{cpu: 8, ram: 16000}}\ndeployments: {deployments}\n")
        found = violations(path)
        assert list(found) == [field]
        assert f"as {read}" in found[field] and "in quotes" in found[field]
    path.write_text(path.read_text().replace(f"[{word}]", f"['{word}']"))
    assert load_task(path).deployments[0].name == word


@pytest.mark.parametrize(("written", "kind"), [("1", "a number"), ("1.5", "a number"), ("2020-01-01", "a date")])
def test_a_name_that_yaml_reads_as_something_else_says_what(tmp_path, written, kind):
    path = tmp_path / "task.yaml"
    path.write_text(f"node_name: [{written}]\nmax_hardware: {{cpu: 8, ram: 16000}}\ndeployments: [web]\n")
    assert violations(path) == {
        "node_name[0]": f"{written} was read as {kind} where a text stands: put what is written there in quotes"
    }


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({"node_names": ["a"], "max_hardware": {"cpu": 8, "ram": 1}}, {"node_name", "node_names"}),
        (change(USER_TASK, "deployments.1", {"nme": "x"}), {"deployments[1].name", "deployments[1].nme"}),
        (change(USER_TASK, "deployments", "web"), {"deployments"}),
        (change(USER_TASK, "workload", {"base_users": -1}), {"workload.base_users[0]"}),
        (change(USER_TASK, "workload", {"base_users": "many"}), {"workload.base_users[0]"}),
        (change(USER_TASK, "node_name", ["node1", "node1", "node2"]), {"node_name"}),
        (change(USER_TASK, "deployments", ["a", "a"]), {"deployments"}),
        ({"family": "mec_city", "node": 3}, {"node"}),
    ],
)
def test_what_only_follows_from_a_mistake_is_not_reported_beside_it(tmp_path, data, fields):
    assert violations(write(tmp_path, data)).keys() == fields


def test_a_refused_number_is_shown(tmp_path):
    assert violations(write(tmp_path, change(USER_TASK, "max_hardware.cpu", -8)))["max_hardware.cpu"].endswith("not -8")


@pytest.mark.parametrize("number", ["1:30", "190:20:30", "1:30.5"])
def test_a_number_in_base_60_is_refused_with_its_line(tmp_path, number):
    file = tmp_path / "city.yaml"
    file.write_text(f"family: mec_city\nhorizon: {number}\n")
    with pytest.raises(InvalidInput, match="base 60") as caught:
        read_task_file(file)
    assert "line 2" in str(caught.value)


def test_amounts_with_units_are_read_in_every_form(tmp_path):
    task = load_task(write(tmp_path, change(change(USER_TASK, "max_hardware.ram", "16Gi"), "pod_usage.cpu", "1500m")))
    assert (task.cluster.nodes[0].ram_mib, task.deployments[0].cpu_millicores) == (16384, 1500)
    native = change(dump(draw(TaskDistribution(), 1)), "deployments.0.timeout_ms", "2s")
    assert load_task(write(tmp_path, native)).deployments[0].timeout_ms == 2000
    scaling = {"family": "kubernetes_scaling", "cpu_requirement": "500m", "memory_requirement": "1Gi"}
    distribution = load_task(write(tmp_path, scaling))
    assert (distribution.cpu_requirement, distribution.memory_requirement) == (500, 1024)


def test_a_distribution_with_a_recording_survives_the_way_through_a_file_and_a_message(tmp_path):
    item = TaskDistribution(
        nodes=2,
        recorded_users=((1.0, 2.0), (3.0, 4.0)),
        recorded_request_interval_s=60.0,
        recorded_failover=((1, 0), ()),
        resample="max",
    )
    (tmp_path / "task.yaml").write_text(task_to_yaml(item))
    assert load_task(tmp_path / "task.yaml") == item
    assert convert.distribution_from_message(convert.distribution_to_message(item)) == item


CASES = Path(__file__).resolve().parents[2] / "../shared/cases"


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases that came out wrong are not on this machine")
def test_inputs_that_came_out_wrong_come_out_right():
    twelve = load_task(CASES / "station_order/task.yaml")
    assert twelve.workload.recorded_users[0] == tuple(range(1, 13))
    assert load_task(CASES / "fewer_deployments/task.yaml").workload.share == ((1,),) * 3
    one, sixty = (load_task(CASES / f"request_interval/distribution_{s}s.yaml") for s in (1, 60))
    assert one.recorded_request_interval_s * 60 == sixty.recorded_request_interval_s
    assert "(bs1 60, bs2 5, bs3 60)" in violations_of(CASES / "short_station/task.yaml")
    assert "lines 5, 7" in violations_of(CASES / "task_files/key_twice.yaml")
    assert "`no`" in violations_of(CASES / "task_files/norway.yaml")
    units = load_task(CASES / "task_files/quantities.yaml")
    assert (units.cluster.nodes[0].ram_mib, units.cluster.nodes[0].access_latency_ms) == (16384, 20)
    assert units.deployments[0].cpu_millicores == 1500
    assert load_task(CASES / "task_files/measured_links.yaml").cluster.rtt_ms[0][1] == pytest.approx(191.55)
    held = {p.stem: len(read_task_file(p).items) for p in (CASES / "predecessor").glob("*.json")}
    assert held == {"adapt": 1, "maml_task": 2, "meta_task": 2, "transfer_task": 0}


def violations_of(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_task(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("task.json", '"nodes": true', "nodes: must be a number, not true"),
        ("task.yaml", '"recorded_users": [[1, 2, 3, yes]]', r"recorded_users\[0\]\[3\]: must be a number, not true"),
        ("task.yaml", '"slo": {"failed_share": 0.1, "window": off}', "slo.window: must be a number, not false"),
    ],
)
def test_a_boolean_is_no_number(tmp_path, name, text, said):
    (tmp_path / name).write_text(f'{{"family": "mec_city", {text}}}')
    with pytest.raises(InvalidInput, match=said):
        read_task_file(tmp_path / name)
