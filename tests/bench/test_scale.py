"""The simulation of queues waits as long as closed forms say, and keeps what it is given."""

import numpy as np
import pytest

from bench.growth import exponent
from bench.scale import Measured, Plan, mean_wait_md1, mean_wait_mmc, open_queue, simulate


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.5), (1, 0.8), (4, 0.7)])
def test_waits_behind_exponential_services_are_those_of_erlang(servers: int, busy: float) -> None:
    rng = np.random.default_rng(1)
    station = open_queue(busy * servers, lambda: rng.exponential(1.0), servers, 40_000.0, seed=2)
    assert np.mean(station.waits) == pytest.approx(mean_wait_mmc(busy * servers, 1.0, servers), rel=0.1)


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_waits_behind_services_of_one_length_are_those_of_pollaczek_and_khinchine(busy: float) -> None:
    station = open_queue(busy, lambda: 1.0, 1, 40_000.0, seed=3)
    assert np.mean(station.waits) == pytest.approx(mean_wait_md1(busy, 1.0), rel=0.1)


def test_one_server_is_the_textbook_case() -> None:
    assert mean_wait_mmc(0.5, 1.0, 1) == pytest.approx(1.0)  # ρ / (1 − ρ) services
    assert mean_wait_md1(0.5, 1.0) == pytest.approx(0.5)


def test_a_closed_loop_of_one_alternates_between_its_stations() -> None:
    costs = Measured(collect_s=1e-5, redis_s=1e-6, learn_s=2e-5)
    found = simulate(Plan(workers=1), costs, until_s=5_000.0, spread=0.0)
    round_s = costs.request * 3.1e-5
    assert found.per_day / 86_400 == pytest.approx(costs.request / round_s, rel=0.01)
    assert found.stations["workers"][0] == pytest.approx(10 / 31, rel=0.01)


def test_many_workers_make_no_more_than_the_learner_takes() -> None:
    costs = Measured()
    found = simulate(Plan(workers=50), costs, until_s=2_000.0)
    assert found.per_day / 86_400 <= 1.05 / costs.learn_s
    assert found.stations["learners"][0] > 0.9


def test_the_exponent_is_the_power() -> None:
    sizes = [4, 8, 16, 64]
    assert exponent(sizes, [3.0 * n**1.5 for n in sizes]) == pytest.approx(1.5)
    assert np.isnan(exponent(sizes, [0.0, 1.0, 1.0, 1.0]))
