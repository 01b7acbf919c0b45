"""The short form of `make chaos`: a kill of every kind, in well under a minute."""

from pathlib import Path

import pytest

from tests.chaos.scenario import Kill, Storm, create_task, follow, ledger, schedule, start_run, weights
from tests.chaos.system import LEASE_S, PAUSED, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(170)]

EPOCHS, SEED = 36, 3
KILLS = [
    Kill(step=4, victim="redis", after_s=0.0, down_s=0.5),
    Kill(step=8, victim="learner", after_s=0.1, down_s=1.0),
    Kill(step=14, victim="registry", after_s=0.0, down_s=0.3),
    Kill(step=20, victim="learner-2", after_s=0.1, down_s=1.0),
    Kill(step=28, victim="learner" + PAUSED, after_s=0.0, down_s=LEASE_S + 1.5),
    Kill(step=28, victim="learner-2" + PAUSED, after_s=0.0, down_s=LEASE_S + 0.5),
]
"""Whichever learner holds the run, it dies once, and once is paused for longer than its lease."""


def test_a_run_outlives_its_processes_and_learns_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    with running(tmp_path / "state") as system:
        clients = system.clients
        task_id = create_task(clients)
        calm = follow(clients, start_run(clients, task_id, SEED, EPOCHS, "calm"), 60)
        weather = Storm(system, list(KILLS), print)
        stormy = follow(clients, start_run(clients, task_id, SEED, EPOCHS, "stormy"), 120, weather.tick)
        assert sum(weather.killed.values()) == len(KILLS)
        assert weights(clients, stormy) == weights(clients, calm)
        found, expected = ledger(stormy), ledger(calm)
    assert found["made"] == found["used"] + found["dropped"] + found["queued"]
    assert (found["used"], found["queued"]) == (expected["used"], 0)
    assert expected["used"] == expected["made"] == EPOCHS * 3 * 2 * 2 * 20
    assert not system.restarts, "a service ended by itself"


def test_a_schedule_is_repeatable_from_its_seed() -> None:
    victims = ["registry", "env", "redis"]
    assert schedule(7, victims, 30, 100) == schedule(7, victims, 30, 100) != schedule(8, victims, 30, 100)
