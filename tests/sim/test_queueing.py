import csv
import heapq
import math
from pathlib import Path

import numpy as np
import pytest

from lwmecps_core.sim.formulas import burst_p95, in_order, outcome, sojourn_p95, waiting
from tests.sim.events import bursts, in_order_of_coming, sharing

MEASURED = Path(__file__).resolve().parents[2] / "../shared/data/http_server_latency.csv"
CLIENT_FLOOR_MS = 0.5


def simulate(rho, servers, service_cv, requests=200_000, seed=0):
    """Waits of a first-come-first-served queue with Poisson arrivals and mean service 1, event by event."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / (rho * servers), requests))
    service = rng.gamma(1 / service_cv**2, service_cv**2, requests) if service_cv else np.ones(requests)
    free, waits = [0.0] * servers, np.empty(requests)
    for i in range(requests):
        start = max(arrivals[i], heapq.heappop(free))
        waits[i] = start - arrivals[i]
        heapq.heappush(free, start + service[i])
    return waits


def erlang_c_wait(rho, servers):
    """Exact mean wait of M/M/c in units of the service time."""
    load = rho * servers
    last = load**servers / math.factorial(servers) / (1 - rho)
    p = last / (sum(load**i / math.factorial(i) for i in range(servers)) + last)
    return p / (servers * (1 - rho))


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("cv", [0.0, 0.7, 1.5])
def test_one_server_waits_as_pollaczek_and_khinchine_say(rho, cv):
    wait, p, _ = waiting(rho, 1.0, 50.0, (1 + cv**2) / 2)
    assert wait == pytest.approx(50.0 * rho / (1 - rho) * (1 + cv**2) / 2, rel=1e-12)
    assert p == pytest.approx(rho)


@pytest.mark.parametrize("servers", [2, 4, 16])
@pytest.mark.parametrize("rho", [0.7, 0.9])
def test_many_servers_wait_nearly_as_erlang_says(servers, rho):
    wait, _, _ = waiting(rho, float(servers), 1.0, 1.0)
    assert wait == pytest.approx(erlang_c_wait(rho, servers), rel=0.1, abs=0.02)


@pytest.mark.parametrize(("rho", "servers", "cv"), [(0.5, 1, 0.0), (0.7, 1, 1.0), (0.7, 4, 1.0), (0.8, 2, 0.5)])
def test_mean_wait_agrees_with_a_simulated_queue(rho, servers, cv):
    simulated = simulate(rho, servers, cv)
    wait, _, _ = waiting(rho, float(servers), 1.0, (1 + cv**2) / 2)
    assert wait == pytest.approx(simulated.mean(), rel=0.1)


@pytest.mark.parametrize(("rho", "servers"), [(0.7, 1), (0.8, 3)])
def test_share_of_timeouts_agrees_with_a_simulated_queue(rho, servers):
    simulated = simulate(rho, servers, 1.0)
    wait, p, decay = waiting(rho, float(servers), 1.0, 1.0)
    for limit in (1.0, 3.0, 6.0):
        latency, failed = outcome(0.0, wait, p, decay, limit, 0, 0.0)
        assert failed == pytest.approx((simulated > limit).mean(), abs=0.03)
        assert latency == pytest.approx(np.minimum(simulated, limit).mean(), rel=0.1)


def test_burst_waits_are_spread_evenly():
    waits, limit = np.linspace(0, 200, 100_001), 150.0
    latency, failed = outcome(10.0, 100.0, 0.0, 1.0, 10.0 + limit, 1, 0.0)
    assert failed == pytest.approx((waits > limit).mean(), abs=1e-3)
    assert latency == pytest.approx(10.0 + np.minimum(waits, limit).mean(), rel=1e-3)


def test_what_certainly_exceeds_the_timeout_fails():
    assert outcome(1000.0, 5.0, 0.5, 0.1, 900.0, 0, 0.0) == (900.0, 1.0)


def modelled(rho, cores, slots, cv):
    """Mean and 95th percentile of the same time, in units of a lone request's."""
    order = in_order(rho, float(cores), float(slots))
    wait, p, decay = waiting(rho, float(cores), 1.0, order * (1 + cv**2) / 2 + 1 - order)
    return 1 + wait, sojourn_p95(1.0, cv**2, wait, p, decay, order, rho, float(cores))


@pytest.mark.parametrize(("cores", "slots"), [(1, 1), (1, 8), (1, 64), (2, 2), (2, 64), (4, 64)])
@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rho", [0.4, 0.7])
def test_requests_that_share_a_pod_take_as_long_as_in_a_simulated_one(cores, slots, cv, rho):
    simulated = sharing(rho, cores, slots, cv)
    mean, p95 = modelled(rho, cores, slots, cv)
    assert mean == pytest.approx(simulated.mean(), rel=0.08)
    assert p95 == pytest.approx(np.quantile(simulated, 0.95), rel=0.1)


@pytest.mark.parametrize("servers", [1, 2, 4])
@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("rho", [0.2, 0.6, 0.8])
def test_95th_percentile_in_order_agrees_with_a_simulated_queue(servers, cv, rho):
    times = in_order_of_coming(rho, servers, cv)
    assert modelled(rho, servers, servers, cv)[1] == pytest.approx(np.quantile(times, 0.95), rel=0.1)


@pytest.mark.parametrize(("requests", "pods"), [(1, 1), (8, 1), (40, 1), (8, 4), (40, 4), (40, 16)])
@pytest.mark.parametrize("cv", [0.0, 1.0])
def test_95th_percentile_of_a_burst_agrees_with_simulated_ones(requests, pods, cv):
    expected = np.quantile(bursts(requests, pods, cv), 0.95)
    # Whole numbers of equal requests: the percentile jumps by a whole service time.
    allowed = max(0.1 * expected, 0.0 if cv else 0.7)
    assert burst_p95(1.0, cv**2, float(requests), float(pods), False) == pytest.approx(expected, abs=allowed)


def test_latency_of_a_real_server_is_met_within_ten_per_cent():
    if not MEASURED.exists():
        pytest.skip("the measurements of a real server are not on this machine")
    errors = []
    for row in csv.DictReader(MEASURED.read_text().splitlines()):
        if row["clean"] == "1" and float(row["rho_eff"]) <= 0.65:
            service = float(row["service_ms_incl_overhead"])
            wait, _, _ = waiting(float(row["rho_eff"]), 1.0, service, (1 + float(row["service_cv2"])) / 2)
            errors.append(abs(service + wait + CLIENT_FLOOR_MS - float(row["mean_ms"])) / float(row["mean_ms"]))
    assert len(errors) >= 5
    assert np.mean(errors) <= 0.10, f"errors {np.round(errors, 3)}"
