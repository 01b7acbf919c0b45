"""Amounts with a unit become numbers in the unit of their key."""

import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.tasks.quantities import without_units


@pytest.mark.parametrize(
    ("key", "text", "number"),
    [
        ("cpu", "1500m", 1.5),
        ("cpu", "2", 2.0),
        ("cpu", "2 cores", 2.0),
        ("cpu_millicores", "1500m", 1500.0),
        ("cpu_millicores", "1500", 1500.0),
        ("cpu_requirement", "250m", 250.0),
        ("ram", "16Gi", 16384.0),
        ("ram", "512Mi", 512.0),
        ("ram", "512 MiB", 512.0),
        ("ram_mib", "1.048576GB", 1000.0),
        ("memory_requirement", "1Gi", 1024.0),
        ("tx_bandwidth", "1Gbit/s", 1000.0),
        ("rx_bandwidth", "10M", 10.0),
        ("tx_mbps", "2.5Gbps", 2500.0),
        ("read_disks_bandwidth", "0.5GB/s", 500.0),
        ("avg_latency", "20ms", 20.0),
        ("avg_latency", "0.02s", 20.0),
        ("timeout_ms", "1m30s", 90_000.0),
        ("startup_s", "250ms", 0.25),
        ("period_s", "1d", 86_400.0),
        ("recorded_step_s", "5min", 300.0),
        ("request_interval_s", "1e1", 10.0),
    ],
)
def test_amounts_are_read_as_kubernetes_and_people_write_them(key: str, text: str, number: float) -> None:
    assert without_units({"a": [{key: text}]}, "file") == {"a": [{key: number}]}


@pytest.mark.parametrize(
    ("key", "text", "unit"),
    [
        ("ram", "16 elephants", "MiB"),
        ("ram", "100ms", "MiB"),
        ("cpu", "8Gi", "cores"),
        ("cpu", "", "cores"),
        ("timeout_ms", "10s5", "ms"),
        ("startup_s", "10 S", "s"),
        ("tx_mbps", "1Gi2Mi", "Mbit/s"),
    ],
)
def test_a_refusal_shows_the_value_the_unit_and_an_example(key: str, text: str, unit: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        without_units({"a": [1, {key: text}]}, "file")
    (violation,) = caught.value.violations
    assert violation.field == f"a[1].{key}"
    assert repr(text) in violation.reason and f"number of {unit}," in violation.reason
    assert "for example" in violation.reason


def test_a_boolean_is_no_amount() -> None:
    with pytest.raises(InvalidInput, match="True is no number of cores"):
        without_units({"cpu": True}, "file")


def test_what_has_no_unit_is_left_alone() -> None:
    data = {"name": "8Gi", "node_info": {"cpu": {"cpu": 4}}, "links": [{"between": ["1m", "2m"], "rtt_ms": 3}], 7: "1s"}
    assert without_units(data, "file") == data


def test_every_row_of_a_matrix_may_have_units() -> None:
    assert without_units({"rtt_ms": [["0ms", "1s"], [1000, 0]]}, "file") == {"rtt_ms": [[0.0, 1000.0], [1000, 0]]}
