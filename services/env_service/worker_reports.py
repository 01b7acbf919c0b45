"""What collection workers report, as messages and as Prometheus metrics."""

from collections.abc import Callable, Iterable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lwmecps_core.errors import NotFound, QueueUnavailable
from lwmecps_core.rollout.queue import QueueStats, WorkQueue
from protos.lwmecps.env.v1 import env_pb2
from services.common.worker_reports import WorkerReport, WorkerState

_STATES = {
    WorkerState.IDLE: env_pb2.WORKER_STATE_IDLE,
    WorkerState.COLLECTING: env_pb2.WORKER_STATE_COLLECTING,
    WorkerState.BLOCKED: env_pb2.WORKER_STATE_BLOCKED,
    WorkerState.STOPPED: env_pb2.WORKER_STATE_STOPPED,
}


def report_to_message(report: WorkerReport) -> env_pb2.WorkerStatus:
    """The message of a report."""
    active = Timestamp()
    active.FromNanoseconds(int(report.last_active_s * 1e9))
    return env_pb2.WorkerStatus(
        worker_id=report.worker_id,
        state=_STATES[report.state],
        requests=report.requests,
        batches=report.batches,
        transitions=report.transitions,
        transitions_per_s=report.transitions_per_s,
        last_error=report.last_error,
        last_active_time=active if report.last_active_s else None,
    )


class WorkerMetrics(Collector):
    """Prometheus metrics of the workers that `fetch` reports, and of the requests that they work on."""

    def __init__(self, fetch: Callable[[], Iterable[WorkerReport]], requests: WorkQueue) -> None:
        self._fetch, self._requests = fetch, requests

    def describe(self) -> list[Metric]:
        """Nothing, so that being registered asks Redis nothing."""
        return []

    def collect(self) -> list[Metric]:
        """One sample per worker and metric; none while Redis is away."""
        try:
            return metrics_of(list(self._fetch()), self._stats())
        except QueueUnavailable:
            return []

    def _stats(self) -> QueueStats | None:
        try:
            return self._requests.stats()
        except NotFound:
            return None


def metrics_of(reports: Sequence[WorkerReport], stats: QueueStats | None) -> list[Metric]:
    """One sample per worker and metric, and the requests of all learners, where there is a queue."""
    return [*_of_workers(reports), *([_of_requests(stats)] if stats else [])]


def _of_workers(reports: Sequence[WorkerReport]) -> list[Metric]:
    metrics: list[Metric] = []
    for name, text in (
        ("requests", "Collection requests done"),
        ("batches", "Rollout batches sent"),
        ("transitions", "Transitions collected"),
        ("errors", "Errors"),
        ("abandoned", "Requests that nobody waited for any more"),
    ):
        counter = CounterMetricFamily(f"lwmecps_worker_{name}", text, labels=["worker"])
        for report in reports:
            counter.add_metric([report.worker_id], getattr(report, name))
        metrics.append(counter)
    speed = GaugeMetricFamily(
        "lwmecps_worker_transitions_per_second", "Transitions per second of the last request", labels=["worker"]
    )
    for report in reports:
        speed.add_metric([report.worker_id], report.transitions_per_s)
    return [*metrics, speed]


def _of_requests(stats: QueueStats) -> Metric:
    """Requests of all learners by what becomes of them; dead ones were given up, and Redis keeps the newest."""
    gauge = GaugeMetricFamily("lwmecps_collection_requests", "Collection requests of all learners", labels=["state"])
    for state, count in (("waiting", stats.lag), ("working", stats.pending), ("dead", stats.dead)):
        gauge.add_metric([state], count)
    return gauge
