"""What a run's collector tells Prometheus, and what it removes."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from lwmecps_core.errors import CollectionTimeout, QueueUnavailable
from lwmecps_core.rollout.queue_collector import Ledger, Wait
from services.learner_service.collectors import MeteredCollector


class FakeQueueCollector:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.removed = False
        self.wait: Wait | None = None

    def collect(self, *_: Any) -> list[Any]:
        self.ledger.made += 10
        self.ledger.dropped += 10
        raise CollectionTimeout("no rollouts")

    def commit(self) -> None: ...

    def lag(self) -> int:
        return 3

    def close(self) -> None:
        self.removed = True


def _dropped() -> float:
    return REGISTRY.get_sample_value("lwmecps_learner_transitions_total", {"fate": "dropped"}) or 0.0


def _lag() -> float | None:
    return REGISTRY.get_sample_value("lwmecps_learner_lag_entries", {"run_id": "r-metered"})


@pytest.mark.parametrize("ended", [True, False])
def test_dropped_transitions_and_lag_are_metrics_until_the_run_is_let_go(ended: bool) -> None:
    inner: Any = FakeQueueCollector()
    collector, before = MeteredCollector("r-metered", inner), _dropped()
    for _ in range(2):
        with pytest.raises(CollectionTimeout):
            collector.collect((), None, None)  # type: ignore[arg-type]
    collector.commit()
    assert _dropped() - before == 20
    assert _lag() == 3
    collector.close(ended=ended)
    assert _lag() is None
    assert inner.removed is ended


@pytest.mark.parametrize(
    ("wait", "workers", "text"),
    [
        (Wait(0.0), 0, "a worker: none has reported for 20 s"),
        (Wait(0.0), 3, "rollouts: no batch from 3 workers for 20 s"),
        (Wait(0.0, unsent=2), 3, "room in the queue of requests, for 20 s: 2 are not sent"),
        (Wait(0.0, trouble="Redis can't be reached"), 3, "Redis, for 20 s: Redis can't be reached"),
        (Wait(0.0), None, "Redis, for 20 s: away"),
        (Wait(19.0), 0, ""),
        (None, 0, ""),
    ],
)
def test_a_run_that_waits_says_for_what(
    wait: Wait | None, workers: int | None, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> int:
        if workers is None:
            raise QueueUnavailable("away")
        return workers

    monkeypatch.setattr("services.learner_service.collectors.time.monotonic", lambda: 23.0)
    inner: Any = FakeQueueCollector()
    inner.wait = wait
    assert MeteredCollector("r-waits", inner, count).waiting_for() == text
