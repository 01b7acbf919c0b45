"""Every registered algorithm keeps what algorithms promise, on every kind of environment."""

import pytest

from lwmecps_core.testing import AlgorithmConformance
from lwmecps_core.testing.examples import Example, cases, make


class TestAlgorithms(AlgorithmConformance):
    @pytest.fixture(params=cases(), ids="-".join)
    def example(self, request: pytest.FixtureRequest) -> Example:
        return make(*request.param)
