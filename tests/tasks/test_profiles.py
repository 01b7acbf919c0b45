import json
from pathlib import Path

import numpy as np
import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.tasks.profiles import load_profiles, profile_distribution, profile_task

PROFILE_A = Path(__file__).resolve().parents[2] / "../shared/data/profile_a"


def station(number: int, stations: int = 2) -> dict:
    return {
        "id": f"bs_{number}",
        "name": f"Base Station {number}",
        "timeout": 0.1 * number,
        "settings": {
            "hosts": [{"host": f"server-{(number - 1 + k) % stations + 1}", "port": 8000} for k in range(stations)],
            "port": 8000,
            "load_profiles": [
                {"concurrent_users": number * 10 + k, "request_interval": 5, "profile_duration": 20} for k in range(3)
            ],
        },
    }


def write(directory: Path, *stations: dict) -> Path:
    for data in stations:
        (directory / f"{data['id']}.json").write_text(json.dumps(data))
    return directory


def refusal(directory: Path) -> tuple[str, str, str]:
    with pytest.raises(InvalidInput) as caught:
        load_profiles(directory)
    v = caught.value.violations[0]
    return Path(caught.value.source).name, v.field, v.reason


def test_stations_are_read_in_the_order_of_their_files(tmp_path):
    load = load_profiles(write(tmp_path, station(2), station(1)))
    assert load.stations == ("bs_1", "bs_2")
    assert load.users == ((10, 20), (11, 21), (12, 22))
    assert (load.step_s, load.request_interval_s, load.timeout_ms) == (20, 5, 100)
    assert load.failover == ((0, 1), (1, 0))


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        (lambda d: d["settings"].pop("hosts"), "settings.hosts", "required"),
        (lambda d: d["settings"].update(hosts=[]), "settings.hosts", "empty"),
        (lambda d: d["settings"].update(load_profiles=[]), "settings.load_profiles", "empty"),
        (
            lambda d: d["settings"]["load_profiles"][1].update(concurrent_users=-1),
            "settings.load_profiles[1].concurrent_users",
            "greater than or equal to 0",
        ),
        (lambda d: d["settings"]["load_profiles"][2].update(users=1), "settings.load_profiles[2].users", "Unexpected"),
        (lambda d: d["settings"]["hosts"][1].update(host="nowhere"), "settings.hosts[1].host", "no station's first"),
    ],
)
def test_a_wrong_profile_is_refused_with_the_file_and_the_path(tmp_path, change, field, reason):
    broken = station(2)
    change(broken)
    name, where, why = refusal(write(tmp_path, station(1), broken))
    assert (name, where) == ("bs_2.json", field)
    assert reason in why


def test_broken_json_empty_directories_and_mixed_steps_are_refused(tmp_path):
    assert "no *.json" in refusal(tmp_path)[2]
    (tmp_path / "bs_0.json").write_text("{")
    assert refusal(tmp_path)[:2] == ("bs_0.json", ".")
    (tmp_path / "bs_0.json").unlink()
    other = station(2)
    other["settings"]["load_profiles"][0]["profile_duration"] = 10
    assert "same in all steps" in refusal(write(tmp_path, station(1), other))[2]
    assert " at " in refusal(write(tmp_path, station(1), other))[2]  # whose they are


def test_a_task_under_a_recording_has_exactly_its_users_and_servers(tmp_path):
    load = load_profiles(write(tmp_path, station(1), station(2)))
    task = profile_task(load, draw(TaskDistribution(nodes=2, deployments=2), 0))
    assert task.workload.recorded_users == load.users
    assert task.workload.share == ((1, 0), (0, 1)) and task.workload.failover == load.failover
    with pytest.raises(InvalidInput, match=r"the 2 stations \(bs_1, bs_2\) and the 4 nodes"):
        profile_task(load, draw(TaskDistribution(), 0))


def test_a_distribution_under_a_recording_draws_tasks_of_its_size(tmp_path):
    load = load_profiles(write(tmp_path, station(1), station(2)))
    task = draw(profile_distribution(load, TaskDistribution(family="load_profile")), 5)
    assert np.array(task.workload.recorded_users).shape == (3, 2)


@pytest.mark.skipif(not PROFILE_A.is_dir(), reason="the recorded profiles are not on this machine")
def test_a_day_recorded_at_four_base_stations_is_read_whole():
    load = load_profiles(PROFILE_A)
    users = np.array(load.users)
    assert users.shape == (8640, 4)
    assert users.mean(0) == pytest.approx([18.8, 16.5, 17.4, 13.6], abs=0.1)
    assert load.failover == ((0, 1, 2, 3), (1, 2, 3, 0), (2, 3, 0, 1), (3, 0, 1, 2))
    assert load.timeout_ms == 400
