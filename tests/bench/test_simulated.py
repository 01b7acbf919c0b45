import pytest

from bench import simulated
from tests.sim import events


def test_the_model_of_the_page_is_the_simulator_s_and_near_a_server_that_is_played():
    mean, p95, failed = simulated.modelled(0.6, slots=16)
    assert failed < 1e-9
    assert mean == pytest.approx(simulated.SERVICE_MS * events.sharing(0.6, 1, 16, 1.0).mean(), rel=0.05)
    assert 2.0 < p95 / mean < 5.0


@pytest.mark.parametrize("abandon", [False, True])
@pytest.mark.parametrize("rho", [0.6, 0.95, 1.0, 1.5])
@pytest.mark.parametrize("timeout", [3.0, 10.0])
def test_as_many_requests_fail_as_at_a_server_that_is_played(abandon, rho, timeout):
    failed, latency = events.with_timeouts(rho, timeout, abandon)
    mean_ms, _, share = simulated.modelled(rho, timeout_ms=timeout * simulated.SERVICE_MS, abandon=abandon)
    # At its capacity a queue that nobody leaves grows by chance for longer than the page's intervals.
    assert share == pytest.approx(failed, rel=0.15, abs=0.15 if rho == 1.0 and not abandon else 0.03)
    assert mean_ms == pytest.approx(simulated.SERVICE_MS * latency, rel=0.12)


def test_measurements_are_read_and_stand_beside_the_model(tmp_path):
    path = tmp_path / "measured.csv"
    path.write_text(
        "server,service_dist,replicas,balancer,service_ms_incl_overhead,service_cv2,rho_eff,mean_ms,p95_ms\n"
        "fcfs,exp,1,-,5,1,0.5,10.5,30\n"
    )
    (row,) = simulated._measured(path)
    assert row[0] == "fcfs, exp, 1 × -" and row[1] == 0.5 and row[2] == 10.5
    assert row[3] == pytest.approx(10.5, rel=0.05) and row[4].endswith("%")
