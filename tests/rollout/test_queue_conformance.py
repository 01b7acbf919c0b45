"""Every kind of queue (`make_queue` of conftest.py) keeps what queues promise."""

import pytest

from lwmecps_core.testing import QueueConformance
from tests.rollout import running


class TestQueues(QueueConformance):
    @pytest.fixture
    def dead_letters(self):
        return running.dead_letters
