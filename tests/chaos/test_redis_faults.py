"""A Redis that is away, hangs, is full, read-only, empty, or replaced: services stay up, say so, and resume."""

from pathlib import Path

import pytest

from services.common.local_redis import bundled_binary
from tests.chaos.redis_faults import endure

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]


def test_services_live_through_every_fault_of_redis_and_the_run_goes_on(tmp_path: Path) -> None:
    found = endure(tmp_path / "state", 1.5, print, bundled_binary())  # the oldest that we support
    assert found["faults"] == ["full", "read-only", "hanging", "empty", "away", "failed over"]
    assert found["weights_equal"]
    assert found["used"] == found["expected_used"]
    assert found["made"] == found["used"] + found["dropped"] and not found["queued"]
    assert found["holds"]
