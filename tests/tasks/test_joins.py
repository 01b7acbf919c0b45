"""Stations and nodes, servers and deployments, users and nodes: joined by name, not by place."""

import json
from pathlib import Path

import numpy as np
import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.tasks.families import draw
from lwmecps_core.tasks.files import read_task_file
from lwmecps_core.tasks.names import joined, natural
from lwmecps_core.tasks.profiles import load_profiles

HARDWARE = {"cpu": 8, "ram": 16000, "avg_latency": 20}


def station(folder: Path, name: str, users: list[float], hosts: list[str], interval_s: float = 10, **more: object):
    folder.mkdir(exist_ok=True)
    steps = [{"concurrent_users": u, "request_interval": interval_s, "profile_duration": 10} for u in users]
    settings = {"hosts": [{"host": host} for host in hosts], "load_profiles": steps}
    (folder / f"{name}.json").write_text(json.dumps({"id": name, "settings": settings, **more}))


def read(folder: Path, **task: object):
    (folder / "task.json").write_text(json.dumps({"max_hardware": HARDWARE, **task}))
    return read_task_file(folder / "task.json")


def only(folder: Path, **task: object):
    (item,) = read(folder, **task).items
    return item


def refusal(folder: Path, **task: object) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(folder, **task)
    return str(caught.value)


TWELVE = [f"bs{k}" for k in range(1, 13)]


@pytest.mark.parametrize(
    "nodes", [TWELVE, TWELVE[::-1], [f"BS{k}" for k in range(1, 13)], [f"x{k}" for k in range(12)]]
)
def test_a_nodes_users_are_those_of_the_station_of_its_name_or_of_its_place_in_natural_order(tmp_path, nodes):
    for k in range(1, 13):
        station(tmp_path / "load", f"bs{k}", [k, k], [f"bs{k}"])
    file = read(tmp_path, node_name=nodes, deployments=[f"web{k}" for k in range(12)], workload={"profile": "load"})
    (task,) = file.items
    expected = list(range(1, 13)) if nodes[0] != "bs12" else list(range(12, 0, -1))
    assert task.workload.recorded_users[0] == tuple(expected)
    guessed = [note for note in file.notes if "natural order" in note]
    assert len(guessed) == (nodes[0] == "x0")
    if guessed:
        assert "bs1 to x0" in guessed[0] and "bs10 to x9" in guessed[0]


def test_names_that_agree_in_part_are_refused_with_both_lists(tmp_path):
    for name in ("a", "b", "c"):
        station(tmp_path / "load", name, [1], [name])
    said = refusal(tmp_path, node_name=["a", "b", "d"], deployments=["web"], workload={"profile": "load"})
    assert "(a, b, c)" in said and "(a, b, d)" in said
    said = refusal(tmp_path, node_name=["x", "y"], deployments=["web"], workload={"profile": "load"})
    assert "the 3 stations (a, b, c) and the 2 nodes (x, y)" in said
    for name in ("a", "b", "c"):
        station(tmp_path / "load", name, [1], [f"srv-{name}"])
    said = refusal(tmp_path, node_name=["a", "b", "c"], deployments=["srv-a", "web"], workload={"profile": "load"})
    assert "hosts" in said and "(srv-a, srv-b, srv-c)" in said and "(srv-a, web)" in said


def test_one_service_answers_the_users_of_all_stations(tmp_path):
    for name, host in (("bs1", "bs1"), ("bs2", "bs1"), ("bs3", "bs3")):
        station(tmp_path / "load", name, [10] * 3, [host])
    file = read(tmp_path, node_name=["bs1", "bs2", "bs3"], deployments=["web"], workload={"profile": "load"})
    assert file.items[0].workload.share == ((1.0,),) * 3
    assert any("no deployment lives at bs3" in note and "web serves" in note for note in file.notes)


def test_users_ask_the_deployment_that_their_server_is_whatever_the_order_of_the_file(tmp_path):
    station(tmp_path / "load", "a", [1], ["srv-a", "srv-b"])
    station(tmp_path / "load", "b", [2], ["srv-b"])
    for names in (["srv-b", "srv-a"], [{"name": "y", "node": "b"}, {"name": "x", "node": "a"}]):
        w = only(tmp_path, node_name=["a", "b"], deployments=names, workload={"profile": "load"}).workload
        assert w.share == ((0, 1), (1, 0))
        assert w.failover == ((1, 0), (0,))


def test_a_server_of_another_station_is_asked_first_where_the_recording_says_so(tmp_path):
    station(tmp_path / "load", "a", [1], ["a"])
    station(tmp_path / "load", "b", [2], ["a", "b"])
    w = only(tmp_path, node_name=["a", "b"], deployments=["x", "y"], workload={"profile": "load"}).workload
    assert w.share == ((1, 0), (1, 0)) and w.failover == ((0,), (0, 1))


def test_several_deployments_at_a_station_share_its_users(tmp_path):
    for name in "ab":
        station(tmp_path / "load", name, [1], [name])
    names = [{"name": d, "node": d[0]} for d in ("a1", "b1", "a2")]
    w = only(tmp_path, node_name=["a", "b"], deployments=names, workload={"profile": "load"}).workload
    assert w.share == ((0.5, 0, 0.5), (0, 1, 0))


def test_an_id_of_two_files_is_refused(tmp_path):
    for name in ("one", "two"):
        station(tmp_path / "load", name, [1], ["h"])
        file = tmp_path / "load" / f"{name}.json"
        file.write_text(file.read_text().replace(f'"id": "{name}"', '"id": "same"'))
    with pytest.raises(InvalidInput, match=r"two.json: id: 'same' is also the id in one.json"):
        load_profiles(tmp_path / "load")


def test_recordings_of_different_lengths_are_refused_or_padded_as_asked(tmp_path):
    station(tmp_path / "load", "a", [1, 2, 3, 4, 5], ["a"])
    station(tmp_path / "load", "b", [6, 7], ["b"])
    task = {"node_name": ["a", "b"], "deployments": ["x", "y"]}
    assert "(a 5, b 2)" in refusal(tmp_path, **task, workload={"profile": "load"})
    for pad, last in (("zero", [6, 7, 0, 0, 0]), ("last", [6, 7, 7, 7, 7]), ("repeat", [6, 7, 6, 7, 6])):
        file = read(tmp_path, **task, workload={"profile": "load", "pad": pad})
        assert [row[1] for row in file.items[0].workload.recorded_users] == last
        assert any("b padded to 5 steps" in note and "a 5, b 2" in note for note in file.notes)
        (tmp_path / "d.json").write_text(json.dumps({"family": "load_profile", "profile": "load", "pad": pad}))
        assert [row[1] for row in read_task_file(tmp_path / "d.json").items[0].recorded_users] == last
    assert "none of zero, last, repeat" in refusal(tmp_path, **task, workload={"profile": "load", "pad": "some"})
    assert "beside a profile" in refusal(tmp_path, **task, workload={"pad": "zero"})


@pytest.mark.parametrize("family", ["mec_city", "load_profile"])
def test_a_distribution_keeps_how_often_recorded_users_ask_and_whom(tmp_path, family):
    tasks = {}
    for interval_s in (1, 60):
        for name in ("bs1", "bs2"):
            station(tmp_path / f"load_{interval_s}", name, [20] * 12, [name], interval_s)
        (tmp_path / "d.json").write_text(json.dumps({"family": family, "profile": f"load_{interval_s}"}))
        (distribution,) = read_task_file(tmp_path / "d.json").items
        tasks[interval_s] = draw(distribution, 7)
    one, sixty = (tasks[s].workload for s in (1, 60))
    assert one.recorded_users == sixty.recorded_users
    assert (one.request_interval_s, sixty.request_interval_s) == (1, 60)
    assert one.failover == sixty.failover == ((0,), (1,)), "each only its own"


def test_what_a_distribution_leaves_out_of_a_recording_is_said(tmp_path):
    station(tmp_path / "load", "a", [1], ["a"], timeout=0.4)
    (tmp_path / "d.json").write_text(json.dumps({"env_id": "lwmecps-v4", "profile": "load"}))
    said = "; ".join(read_task_file(tmp_path / "d.json").notes)
    assert "timeout of 400 ms is left out" in said and "whom the recorded users ask is left out" in said


def test_clients_wait_as_long_as_they_were_recorded_to_unless_the_file_says_otherwise(tmp_path):
    station(tmp_path / "load", "a", [1], ["a"], timeout=0.4)
    station(tmp_path / "load", "b", [1], ["b"], timeout=0.5)
    names = ["x", {"name": "y", "timeout_ms": 900}]
    file = read(tmp_path, node_name=["a", "b"], deployments=names, workload={"profile": "load"})
    assert [d.timeout_ms for d in file.items[0].deployments] == [400, 900]
    assert any("a 0.4 s, b 0.5 s" in note for note in file.notes)


def test_how_steps_become_intervals_is_chosen_and_said(tmp_path):
    station(tmp_path / "load", "a", [0, 40] * 36, ["a"])
    task = {"node_name": ["a"], "deployments": ["x"]}
    for how, said in (({}, "mean"), ({"resample": "max"}, "largest"), ({"resample": "sample"}, "first")):
        file = read(tmp_path, **task, workload={"profile": "load", "speedup": 12, **how})
        assert file.items[0].workload.resample == how.get("resample", "mean")
        assert any(said in note and "12" in note and "120 s" in note for note in file.notes)
    assert not any("resample" in note for note in read(tmp_path, **task, workload={"profile": "load"}).notes)
    file = read(tmp_path, **task, workload={"profile": "load", "speedup": 100})
    assert any("1000 s, more than the whole recording (72 steps of 10 s)" in note for note in file.notes)


def test_load_that_no_episode_sees_is_said(tmp_path):
    station(tmp_path / "load", "a", [1] * 20, ["a"])
    task = {"node_name": ["a"], "deployments": ["x"], "horizon": 12}
    file = read(tmp_path, **task, workload={"profile": "load", "random_start": False})
    assert any("the first 12 of the load's 20 intervals" in note for note in file.notes)
    assert not any("intervals only" in note for note in read(tmp_path, **task, workload={"profile": "load"}).notes)


def test_users_phases_shares_and_failover_may_be_given_by_name(tmp_path):
    task = {"node_name": ["a", "b"], "deployments": ["x", "y"]}
    w = only(
        tmp_path,
        **task,
        workload={
            "base_users": {"b": 2, "a": 1},
            "phase": {"b": 0.2, "a": 0.1},
            "share": {"b": {"y": 0.5, "x": 0.25}, "a": {"x": 1}},
            "failover": {"b": ["y", "x"], "a": []},
        },
    ).workload
    assert (w.base_users, w.phase) == ((1, 2), (0.1, 0.2))
    assert (w.share, w.failover) == (((1, 0), (0.25, 0.5)), ((), (1, 0)))
    recorded = {"pattern": "recorded", "recorded_users": {"b": [3, 4, 5], "a": [0, 1, 2]}}
    assert only(tmp_path, **task, workload=recorded).workload.recorded_users == ((0, 3), (1, 4), (2, 5))
    assert "names a, c" in refusal(tmp_path, **task, workload={"base_users": {"a": 1, "c": 2}})
    assert "'z' is none of" in refusal(tmp_path, **task, workload={"failover": [["z"], []]})
    assert "'z' is none of" in refusal(tmp_path, **task, workload={"share": [{"z": 1}, {}]})
    recorded["recorded_users"] = {"a": [1], "b": [1, 2]}
    assert "a 1, b 2" in refusal(tmp_path, **task, workload=recorded)


def test_a_deployment_of_a_nodes_name_lives_there(tmp_path):
    task = only(tmp_path, node_name=["a", "b"], deployments=["b", "a"])
    assert [d.allowed_nodes for d in task.deployments] == [("b",), ("a",)]
    assert np.array(task.workload.share).argmax(1).tolist() == [1, 0]


def test_numbers_in_names_count_as_numbers():
    assert sorted(["bs10", "bs2", "a", "bs1", "10", "9"], key=natural) == ["9", "10", "a", "bs1", "bs2", "bs10"]
    assert joined(["s10", "s9"], ["x", "y"], "some", "others", "file")[0] == [1, 0]
