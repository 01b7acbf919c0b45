"""Following runs until they end, and what is printed then."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from lwmecps_core.reporting.streams import STREAM
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from protos.lwmecps.registry.v1 import run_pb2
from services.cli import render
from services.cli.clients import Clients
from services.cli.ending import CommandFailed
from services.cli.results import matrix_table, summary_table
from services.common import convert


class RunFailed(CommandFailed):
    """A run ended FAILED or CANCELLED."""


def follow(clients: Clients, run_id: str, bars: bool = True) -> run_pb2.Run:
    """Watch a run until it ends, behind a progress bar, and return it as it is then."""
    run = run_pb2.Run()
    with render.RunBars(bars) as shown:
        for news in clients.learner.stream("WatchProgress", pb.WatchProgressRequest(run_id=run_id)):
            run = news.run
            shown.update(run)
    return run


@contextmanager
def pausing_when_stopped(clients: Clients, run_id: str) -> Iterator[None]:
    """Meanwhile SIGTERM pauses the run before it ends this process: so W&B's agent stops the runs of a sweep.

    The process still dies by that signal, as it would have: the agent counts any code above 0 as a failure, and gives
    up after three.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        from services.common.remote_runs import RemoteRuns  # hardly ever needed, and not light

        RemoteRuns(clients.addresses.registry, clients.addresses.learner).pause(run_id)
        signal.raise_signal(signal.SIGTERM)


def results(clients: Clients, run_id: str) -> pb.GetResultsResponse:
    """Everything that a run has produced, all pages of rows in one answer."""
    request = pb.GetResultsRequest(run_id=run_id, page_size=1000)
    whole: pb.GetResultsResponse = clients.learner("GetResults", request)
    token = whole.next_page_token
    while token:
        page = clients.learner("GetResults", pb.GetResultsRequest(run_id=run_id, page_size=1000, page_token=token))
        whole.rows.extend(page.rows)
        token = page.next_page_token
    whole.next_page_token = ""
    return whole


def report(clients: Clients, run: run_pb2.Run, as_json: bool) -> None:
    """Print what a run that ended has produced; raises `RunFailed` unless it completed."""
    result = results(clients, run.id)
    if as_json:
        render.print_json(render.plain(result))
    else:
        _describe(result)
    check_completed(run)


def check_completed(run: run_pb2.Run) -> None:
    """Raise `RunFailed` unless the run completed."""
    if run.state != run_pb2.RUN_STATE_COMPLETED:
        raise RunFailed(f"run {run.id} {render.STATES[run.state].lower()}: {run.error or 'no reason given'}")


def _describe(result: pb.GetResultsResponse) -> None:
    run = result.run
    state = f"{render.STATES[run.state]}  {run.step}/{run.total_steps} steps"
    render.console.print(f"run {run.id}  {state}", highlight=False)
    if run.result_policy_id:
        render.console.print(f"policy {run.result_policy_id}", highlight=False)
    if left_alone := run.latest_metrics.get("kept_placement"):
        text = f"{left_alone:.0%} of the tasks left as they were deployed: no policy proved itself there"
        render.console.print(text, highlight=False)
    if result.rows:
        shown = matrix_table if run.spec.WhichOneof("settings") == STREAM else summary_table
        render.console.print(shown([convert.row_from_message(row) for row in result.rows]))
    elif run.latest_metrics:
        lines = [(name, f"{value:.6g}") for name, value in sorted(run.latest_metrics.items())]
        render.console.print(render.table("metrics", ("name", "value"), lines))
