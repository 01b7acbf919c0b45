"""The autoscaler's port against the running controller, and our stand-in for metrics-server."""

import pytest

from scripts.kube.hpa_scenarios import SCENARIOS
from scripts.kube.hpa_traces import record
from tests.baselines.hpa_replay import replayed

pytestmark = pytest.mark.kube

SHORT = ("limits of a step up", "edges of the tolerance at 10", "metrics missing", "pods ending", "zero replicas")


def test_a_controller_led_through_scenarios_today_decides_as_the_port_does(control_plane_binaries: None) -> None:
    traces = record([s for s in SCENARIOS if s.name in SHORT], 2.0, lambda line: None)
    steps = list(replayed(traces))
    assert len(steps) > 30
    wrong = [step for step in steps if step.ours != step.theirs]
    assert len(wrong) <= 0.01 * len(steps), wrong
