"""Write the services' Prometheus metrics into `docs/metrics.md`, between its two marks, as they describe themselves."""

from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

from lwmecps_core.rollout.queue import QueueStats
from services.common.worker_reports import WorkerReport
from services.env_service.worker_reports import metrics_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
MARKS = ("<!-- prometheus -->\n", "<!-- end of prometheus -->\n")
OURS = "lwmecps_"
SERVICES = {
    "services.common": "all",
    "services.task_registry": "task-registry",
    "services.env_service": "env-service",
    "services.learner_service": "learner-service",
}


def metrics() -> dict[str, tuple[str, str, str, str]]:
    """Name as queries write it → type, labels, service, and what it says of itself."""
    import services.env_service.__main__  # they register what they measure
    import services.learner_service.counted

    modules = (
        *(services.common.calls, services.common.health, services.env_service.__main__),
        services.learner_service.counted,
    )
    owner = {id(value): module.__name__ for module in reversed(modules) for value in vars(module).values()}
    found = {}
    for collector in REGISTRY._collector_to_names:
        for metric in collector.describe() if hasattr(collector, "describe") else ():
            if metric.name.startswith(OURS):
                labels = ", ".join(getattr(collector, "_labelnames", ()))
                module = ".".join(owner[id(collector)].split(".")[:2])
                found[_name(metric)] = (metric.type, labels, SERVICES[module], metric.documentation)
    for metric in metrics_of([WorkerReport("w")], QueueStats(0, 0, 0, 0)):
        labels = ", ".join(metric.samples[0].labels)
        found[_name(metric)] = (metric.type, labels, "env-service with workers", metric.documentation)
    return dict(sorted(found.items()))


def table() -> str:
    """The table of the page."""
    lines = ["| metric | type | labels | service | means |", "| --- | --- | --- | --- | --- |"]
    for name, (kind, labels, service, text) in metrics().items():
        lines.append(f"| `{name}` | {kind} | {labels} | {service} | {text.rstrip('.')} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page as it should be."""
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    return f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}"


def _name(metric: Metric) -> str:
    return metric.name + {"counter": "_total", "histogram": "_bucket"}.get(metric.type, "")


if __name__ == "__main__":
    PAGE.write_text(page())
