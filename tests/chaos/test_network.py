"""Services in network namespaces with delay, loss and partitions: who can be reached answers, and the run goes on."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.network import HERE, Network, Weather, between, missing
from tests.chaos.network_faults import PARTITIONS, cross

pytestmark = [pytest.mark.timeout(500), pytest.mark.skipif(missing() is not None, reason=missing() or "")]
ECHO = """
import socket
server = socket.create_server(("0.0.0.0", 7))
print("ready", flush=True)
connection, _ = server.accept()
while data := connection.recv(1024):
    connection.sendall(data)
"""


def test_what_passes_the_switch_is_late_and_lost_as_told_and_partitions_heal() -> None:
    with Network(["far"], seed=1) as network:
        command = [*network.prefix("far"), sys.executable, "-c", ECHO]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as far:
            assert far.stdout is not None and far.stdout.readline() == b"ready\n"
            with socket.create_connection((network.address("far"), 7), timeout=20) as near:
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

                def answer_s() -> float:
                    began = time.monotonic()
                    near.sendall(b"x")
                    assert near.recv(1) == b"x"
                    return time.monotonic() - began

                answer_s()
                network.weather = Weather(delay_ms=30)
                assert min(answer_s() for _ in range(3)) >= 0.06
                network.weather = Weather(loss=0.1)
                for _ in range(50):
                    answer_s()  # TCP sends again what was lost
                pair = next(iter(between([HERE], ["far"])))
                assert 5 < network.lost[pair] < network.delivered[pair] / 4
                network.weather = Weather()
                network.cut([pair])
                near.settimeout(1)
                with pytest.raises(TimeoutError):
                    answer_s()
                assert network.cut_off[pair]
                network.cut([])
                near.settimeout(20)
                assert near.recv(1) == b"x"
    assert f"lwmecps-{network.address('far').split('.')[2]}-far" not in subprocess.check_output(
        ["ip", "netns", "list"], text=True
    )


@pytest.mark.e2e
def test_a_run_lives_through_partitions_on_a_bad_network(tmp_path: Path) -> None:
    chosen = [p for p in PARTITIONS if p.name in ("the run's learner from all", "each from each")]
    found = cross(tmp_path / "state", 5.0, print, chosen)
    assert found["partitions"] == [p.name for p in chosen]
    assert found["moved"] >= 1  # its lease of 3 s had run out
    assert found["frames_lost"] and found["frames_cut_off"]
    assert found["weights_equal"]
    assert found["used"] == found["expected_used"]
    assert found["made"] == found["used"] + found["dropped"] and not found["queued"]
    assert found["holds"]
