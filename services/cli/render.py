"""How results look: tables and progress bars for people, JSON for programs."""

import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.registry.v1 import run_pb2
from services.common import run_kinds

STATES = {number: name.removeprefix("RUN_STATE_") for name, number in run_pb2.RunState.items()}
ENDED = frozenset({run_pb2.RUN_STATE_COMPLETED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED})
SHOWN_METRICS = (
    "meta_loss",
    "avg_task_loss",
    "adaptation_loss",
    "test_avg_reward",
    "total_reward",
    "latency",
    "pod_count",
)

TOLD_EVERY_S = 15.0
"""A run that waits says so again, on a line of its own, after so long."""
WIDE = 180
"""Columns of output that goes to no terminal: lines are not broken for programs."""

console = Console(width=None if sys.stdout.isatty() else WIDE)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else WIDE)


def tell(text: str) -> None:
    """Say something on standard error that people should know."""
    errors.print(text, highlight=False, markup=False, soft_wrap=True)


def plain(message: Message) -> dict[str, Any]:
    """A message as plain data, with the field names of the contracts, and tensors as nested lists of numbers."""
    data: dict[str, Any] = _with_numbers(message, MessageToDict(message, preserving_proto_field_name=True))
    return data


def _with_numbers(message: Message, data: Any) -> Any:
    if isinstance(message, tensor_pb2.Tensor):
        from lwmecps_core.rollout.tensor_codec import tensor_from_proto  # NumPy, which few answers need

        return tensor_from_proto(message, "tensor").tolist()
    if not isinstance(data, dict):  # a time is a text
        return data
    for field, value in message.ListFields():
        inner = data.get(field.name)
        if field.message_type is None or inner is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                data[field.name] = {key: _with_numbers(value[key], inner[str(key)]) for key in value}
        elif field.is_repeated:
            data[field.name] = [_with_numbers(*pair) for pair in zip(value, inner, strict=True)]
        else:
            data[field.name] = _with_numbers(value, inner)
    return data


def print_json(data: Any) -> None:
    """Write data as JSON to standard output, at once, and nothing else."""
    print(json.dumps(data, indent=1), flush=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of text."""
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        result.add_column(column, overflow="fold")
    for row in rows:
        result.add_row(*map(printable, row))
    return result


def printable(text: str) -> str:
    """Text whose control characters, which terminals obey, are written as escapes."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def runs_table(runs: Iterable[run_pb2.Run]) -> Table:
    """Runs, one line each."""
    columns = ("id", "kind", "label", "state", "step", "policy", "created")
    return table(
        "runs",
        columns,
        (
            [
                run.id,
                run_kinds.kind_from_message(run.spec.kind),
                run.spec.label,
                STATES[run.state],
                f"{run.step}/{run.total_steps or '?'}",
                run.result_policy_id,
                f"{run.create_time.ToDatetime():%Y-%m-%d %H:%M:%S}",
            ]
            for run in runs
        ),
    )


def reasons(runs: Iterable[run_pb2.Run]) -> Iterator[str]:
    """Of the runs that failed, and of those that wait, why: a line each."""
    for run in runs:
        if said := run.error or waiting_text(run):
            yield f"{run.id} {STATES[run.state]}: {printable(said)}"


def metrics_text(metrics: Mapping[str, float], most: int = 3) -> str:
    """The metrics that matter most, short enough for the end of a progress bar."""
    known = {name.rsplit("/", 1)[-1]: value for name, value in metrics.items()}
    chosen = [name for name in SHOWN_METRICS if name in known] or sorted(known)
    return "  ".join(f"{name} {known[name]:.4g}" for name in chosen[:most])


def waiting_text(run: run_pb2.Run) -> str:
    """What the run waits for; empty for nothing."""
    return f"waiting for {run.waiting_for}" if run.waiting_for else ""


class RunBars:
    """One progress bar per run, on standard error; a context manager.

    Where there are no bars (`shown` is false, or no terminal), a run that waits says so on a line of its own; not one
    that only waits for its turn, while another of those shown is worked on.
    """

    def __init__(self, shown: bool = True) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.fields[steps]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=errors,
            disable=not shown,
        )
        self._bars: dict[str, TaskID] = {}
        self._lines = not shown or not errors.is_terminal
        self._told: dict[str, tuple[str, float]] = {}
        self._running: set[str] = set()

    def __enter__(self) -> "RunBars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, run: run_pb2.Run, name: str = "") -> None:
        """Show where `run` is now."""
        running = run.state == run_pb2.RUN_STATE_RUNNING
        (self._running.add if running else self._running.discard)(run.id)
        if self._lines and not (run.state == run_pb2.RUN_STATE_PENDING and self._running):
            self._tell_waiting(run)
        if run.id not in self._bars:
            text = name or f"{run_kinds.kind_from_message(run.spec.kind)} {run.spec.label}".strip()
            self._bars[run.id] = self._progress.add_task(text, total=None, steps="?", note="")
        self._progress.update(
            self._bars[run.id],
            completed=run.step,
            total=run.total_steps or None,
            steps=run.total_steps or "?",
            note=waiting_text(run) or (metrics_text(run.latest_metrics) if running else STATES[run.state].lower()),
        )

    def _tell_waiting(self, run: run_pb2.Run) -> None:
        """A line when the run begins or ceases to wait, or waits for something else, and now and then meanwhile."""
        kind = re.sub(r"\d", "", run.waiting_for)  # without for how long
        before, told_s = self._told.get(run.id, ("", 0.0))
        if kind != before or (kind and time.monotonic() - told_s >= TOLD_EVERY_S):
            self._told[run.id] = (kind, time.monotonic())
            tell(f"run {run.id}: {waiting_text(run) or 'goes on'}")
