"""What a learner tells Prometheus before anything has happened."""

import subprocess
import sys

STARTS = """
import sys
import services.learner_service.__main__
from prometheus_client import REGISTRY
value = REGISTRY.get_sample_value
print(value("lwmecps_learner_run_ends_total", {"kind": "train", "end": "completed"}))
print(value("lwmecps_learner_steps_total", {"kind": "meta_train"}))
print(value("lwmecps_learner_transitions_total", {"fate": "used"}))
print(value("lwmecps_scaler_sizes_total", {"by": "rule"}))
print("torch" in sys.modules)
"""


def test_counters_are_at_0_before_what_learns_is_imported() -> None:
    """A run that ends before its counter was ever scraped would be no increase."""
    done = subprocess.run([sys.executable, "-c", STARTS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.0"] * 4 + ["False"]
