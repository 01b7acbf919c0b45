"""The backend that was added keeps what every backend promises, and sessions open it."""

import pytest

from lwmecps_core.cluster.logbook import LogbookCluster
from lwmecps_core.testing import BackendConformance
from lwmecps_core.testing.backends import conformance_task
from services.env_service.backends import CLUSTERS, open_session


class TestLogbookCluster(BackendConformance):
    @pytest.fixture
    def backend(self):
        return LogbookCluster(conformance_task())


def test_a_session_opens_it_by_its_name() -> None:
    assert isinstance(CLUSTERS["logbook"](conformance_task()), LogbookCluster)
    open_session("logbook", conformance_task(), 1, 0)
