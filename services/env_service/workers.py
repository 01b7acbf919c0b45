"""The collection workers of this process: started, kept running, and what they are doing."""

import os
import socket
import sys
from collections.abc import Callable, Sequence

import redis

from lwmecps_core.errors import QueueUnavailable
from protos.lwmecps.env.v1 import env_pb2
from services.common.worker_reports import WorkerReport, WorkerState, read_reports
from services.env_service.settings import EnvServiceSettings
from services.env_service.supervisor import ChildStatus, Supervisor
from services.env_service.worker_reports import report_to_message


def worker_supervisor(settings: EnvServiceSettings) -> Supervisor:
    """Looks after `settings.collection_workers` processes; their names say machine, process and number."""
    here = f"{socket.gethostname()}-{os.getpid()}"
    return Supervisor(
        [f"{here}-{i}" for i in range(settings.collection_workers)],
        lambda name: [
            sys.executable,
            "-m",
            "services.env_service.worker",
            "--name",
            name,
            "--parent",
            str(os.getpid()),
            "--log-format",
            settings.log_format,
            "--log-level",
            settings.log_level,
        ],
        env={**os.environ, "REDIS_URL": settings.redis_url},  # whoever lists processes sees their arguments
    )


def report_source(client: "redis.Redis", supervisor: Supervisor) -> Callable[[], list[WorkerReport]]:
    """A function that reads what the supervised workers report; it raises `QueueUnavailable`."""

    def reports() -> list[WorkerReport]:
        names = [child.name for child in supervisor.status()]
        return read_reports(client, names) if names else []

    return reports


def check_working(supervisor: Supervisor, reported: Callable[[], list[WorkerReport]]) -> None:
    """Raise `QueueUnavailable` unless one of the supervised workers has reported of late."""
    if not reported():
        ends = {child.last_error for child in supervisor.status() if child.last_error}
        raise QueueUnavailable("; ".join(["no collection worker has reported", *sorted(ends)]))


def status_source(
    supervisor: Supervisor, reported: Callable[[], list[WorkerReport]]
) -> Callable[[], list[env_pb2.WorkerStatus]]:
    """A function that tells what the supervised workers are doing, from their own reports where there are any."""

    def status() -> list[env_pb2.WorkerStatus]:
        children = supervisor.status()
        try:
            reports, trouble = reported(), ""
        except QueueUnavailable as error:
            reports, trouble = [], str(error)
        return merged_status(children, reports, trouble)

    return status


def merged_status(
    children: Sequence[ChildStatus], reports: Sequence[WorkerReport], trouble: str
) -> list[env_pb2.WorkerStatus]:
    """One entry per process: its own report, or, where it gave none or doesn't run, STOPPED and why."""
    known = {report.worker_id: report for report in reports}
    merged = []
    for child in children:
        report = known.get(child.name) if child.pid is not None else None
        reason = child.last_error or trouble
        report = report or WorkerReport(worker_id=child.name, state=WorkerState.STOPPED, last_error=reason)
        merged.append(report_to_message(report))
    return merged
