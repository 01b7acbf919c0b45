"""Every registered meta-learner keeps what meta-learners promise, over every registered algorithm."""

import pytest

from lwmecps_core import meta
from lwmecps_core.meta.base import MetaLearner
from lwmecps_core.run_config import META_LEARNERS
from lwmecps_core.testing import MetaLearnerConformance


class TestMetaLearners(MetaLearnerConformance):
    @pytest.fixture(params=META_LEARNERS)
    def learner(self, request: pytest.FixtureRequest) -> MetaLearner:
        return meta.make(META_LEARNERS[request.param]())
