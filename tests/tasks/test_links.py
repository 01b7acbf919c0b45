"""Links as people measure them."""

import json
from pathlib import Path

import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.tasks.files import read_task_file

BASE = {
    "node_name": ["n1", "n2", "n3"],
    "max_hardware": {"cpu": 8, "ram": 16000, "avg_latency": 20},
    "deployments": ["web"],
}
MEASURED = [{"from": "n1", "to": "n2", "rtt_ms": 194.2}, {"from": "n2", "to": "n1", "rtt_ms": 188.8}]


def read(folder: Path, links: list, **more: object):
    path = folder / "task.json"
    path.write_text(json.dumps({**BASE, "links": links, **more}))
    return read_task_file(path)


@pytest.mark.parametrize(("how", "rtt"), [({}, 191.5), ({"symmetrise": "mean"}, 191.5), ({"symmetrise": "max"}, 194.2)])
def test_round_trips_measured_from_both_ends_become_one_and_that_is_said(tmp_path, how, rtt):
    file = read(tmp_path, MEASURED, **how)
    matrix = file.items[0].cluster.rtt_ms
    assert matrix[0][1] == matrix[1][0] == pytest.approx(rtt)
    assert matrix[0][2] == 40
    assert any("n1-n2 194.2 and 188.8" in note for note in file.notes)


def test_delays_one_way_are_added_up(tmp_path):
    links = [{"from": "n1", "to": "n3", "one_way_ms": 3}, {"from": "n3", "to": "n1", "one_way_ms": "4ms"}]
    matrix = read(tmp_path, links).items[0].cluster.rtt_ms
    assert matrix[0][2] == matrix[2][0] == 7


def test_a_link_measured_from_one_end_is_enough(tmp_path):
    file = read(tmp_path, MEASURED[:1])
    assert file.items[0].cluster.rtt_ms[1][0] == 194.2
    assert not any("measured differently" in note for note in file.notes)


@pytest.mark.parametrize(
    ("links", "field", "reason"),
    [
        ([{"from": "n1", "to": "n3", "one_way_ms": 3}], "links[0]", "lacks the way back: one_way_ms from n3 to n1"),
        ([*MEASURED, {"from": "n1", "to": "n2", "rtt_ms": 1}], "links[2]", "in links[0] already"),
        ([MEASURED[0], {"between": ["n2", "n1"], "rtt_ms": 1}], "links[1]", "in links[0] already"),
        ([{"between": ["n1", "n1"], "rtt_ms": 1}], "links[0]", "two different nodes"),
        ([{"from": "n1", "to": "n9", "rtt_ms": 1}], "links[0].to", "not in node_name"),
        ([{"from": "n1", "rtt_ms": 1}], "links[0]", "from: a, to: b"),
        ([{"between": ["n1", "n2"], "one_way_ms": 1}], "links[0]", "needs from and to"),
        ([{"from": "n1", "to": "n2"}], "links[0]", "either rtt_ms or one_way_ms"),
    ],
)
def test_links_that_say_too_little_or_too_much_are_refused(tmp_path, links, field, reason):
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, links)
    assert any(v.field == field and reason in v.reason for v in caught.value.violations)


NATIVE = {
    "name": "native",
    "deployments": [{"name": "web"}],
    "workload": {"base_users": [1, 1], "share": [[1.0], [1.0]]},
}


@pytest.mark.parametrize(
    ("cluster", "rtt"),
    [
        ({"rtt_ms": [[0, 10], [6, 0]], "symmetrise": "mean"}, 8),
        ({"rtt_ms": [[0, 10], [6, 0]], "symmetrise": "max"}, 10),
        ({"one_way_ms": [[0, 10], [6, 0]]}, 16),
    ],
)
def test_a_native_matrix_may_be_made_symmetric_too(tmp_path, cluster, rtt):
    path = tmp_path / "task.json"
    nodes = [{"name": n, "cpu_millicores": 4000, "ram_mib": 4000} for n in "ab"]
    path.write_text(json.dumps({**NATIVE, "cluster": {"nodes": nodes, **cluster}}))
    assert read_task_file(path).items[0].cluster.rtt_ms == ((0, rtt), (rtt, 0))


@pytest.mark.parametrize(
    ("cluster", "reason"),
    [
        ({"rtt_ms": [[0, 10], [6, 0]]}, r"\[1\]\[0\] is 6, \[0\]\[1\] is 10 .*symmetrise"),
        ({"rtt_ms": [[0, 10], [6, 0]], "symmetrise": "min"}, "neither mean nor max"),
        ({"rtt_ms": [[0, 10]], "one_way_ms": [[0, 1], [1, 0]]}, "can't stand beside"),
        ({"rtt_ms": [[0, 10], [6]], "symmetrise": "max"}, "square"),
    ],
)
def test_a_native_matrix_that_is_none_is_refused(tmp_path, cluster, reason):
    path = tmp_path / "task.json"
    nodes = [{"name": n, "cpu_millicores": 4000, "ram_mib": 4000} for n in "ab"]
    path.write_text(json.dumps({**NATIVE, "cluster": {"nodes": nodes, **cluster}}))
    with pytest.raises(InvalidInput, match=reason):
        read_task_file(path)
