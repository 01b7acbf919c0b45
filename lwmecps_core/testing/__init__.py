"""Suites of tests that everything of a kind must pass, for pytest: our own parts and those of others.

Subclass a suite in a test module and give it the fixture that it names:

    class TestMine(AlgorithmConformance):
        @pytest.fixture(params=specs_of("mine"))
        def example(self, request):
            return make("mine", request.param)
"""

try:
    import pytest
except ImportError as error:
    raise ImportError("lwmecps_core.testing holds tests for pytest: pip install pytest") from error

# Before their first import: so that a failed assertion of a suite shows its values, as one of a test module does.
for _name in ("algorithms", "backends", "meta_learners", "queues"):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")

from lwmecps_core.testing.algorithms import AlgorithmConformance  # noqa: E402
from lwmecps_core.testing.backends import BackendConformance  # noqa: E402
from lwmecps_core.testing.meta_learners import MetaLearnerConformance  # noqa: E402
from lwmecps_core.testing.queues import QueueConformance  # noqa: E402

__all__ = ["AlgorithmConformance", "BackendConformance", "MetaLearnerConformance", "QueueConformance"]
