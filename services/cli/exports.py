"""`lwmecps plot | report`, and what `runs export` writes: results of stored runs as files, pictures and a page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.reporting.streams import STREAM
from services.cli.clients import Clients
from services.cli.files import write_whole
from services.cli.json_option import Json
from services.cli.render import STATES, console, print_json
from services.common import run_kinds

if TYPE_CHECKING:
    from lwmecps_core.reporting.page import Reported

app = typer.Typer()
RunIds = Annotated[list[str], typer.Argument(help="Ids of runs.", metavar="RUN...")]


@dataclass(frozen=True)
class RunWithResults:
    """A stored run with everything that it has reported; `label` is its own, with its id where several have that."""

    run: Any
    label: str
    rows: tuple[Any, ...]
    metrics: dict[str, list[tuple[int, float]]]


@app.command()
def plot(
    ctx: typer.Context,
    run_ids: RunIds,
    to: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("out/plots"),
    as_json: Json = False,
) -> None:
    """Draw what runs have measured, as PNG and SVG: metrics by step, rewards, adaptation, streams of clusters."""
    found = gather(ctx.obj, run_ids)
    from lwmecps_core.reporting import pictures  # Matplotlib, which takes long to import

    streams = {x.label: x.rows for x in found if x.rows and x.run.spec.WhichOneof("settings") == STREAM}
    rows = [row for one in found for row in one.rows if one.label not in streams]
    drawn = {"curves": pictures.curves({x.label: x.metrics for x in found})} if any(x.metrics for x in found) else {}
    if rows:
        drawn["rewards"] = pictures.rewards(rows)
    if len({row.inner_steps for row in rows}) > 1:
        drawn["adaptation"] = pictures.adaptation(rows)
    if streams:
        drawn["stream"] = pictures.stream(streams)
    if not drawn:
        raise InvalidInput("runs", [Violation(", ".join(run_ids), "nothing has been measured yet")])
    to.mkdir(parents=True, exist_ok=True)
    for name, picture in drawn.items():
        picture.save(to / name)
    _tell([str(to / f"{name}{ending}") for name in drawn for ending in (".png", ".svg")], as_json)


@app.command()
def report(
    ctx: typer.Context,
    run_ids: RunIds,
    to: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Write one HTML file about runs: settings, results with intervals, pictures; it needs nothing beside it."""
    found = gather(ctx.obj, run_ids)
    from lwmecps_core.reporting.page import page  # Matplotlib, which takes long to import

    title = f"lwmecps: {', '.join(one.label for one in found[:3])}{' and others' if len(found) > 3 else ''}"
    write_whole(to, page(title, [_reported(one) for one in found]).encode())
    _tell([str(to)], as_json)


def gather(clients: Clients, run_ids: Sequence[str]) -> list[RunWithResults]:
    """Runs with their rows and metrics; raises `NotFound` for an unknown one."""
    from protos.lwmecps.registry.v1 import registry_pb2 as pb
    from services.common import convert

    found: list[RunWithResults] = []
    labels: dict[str, int] = {}
    for run_id in dict.fromkeys(run_ids):
        run = clients.registry("GetRun", pb.GetRunRequest(run_id=run_id)).run
        rows = clients.registry.pages("ListRunRows", pb.ListRunRowsRequest(run_id=run_id, page_size=1000), "rows")
        asked = pb.ListRunMetricsRequest(run_id=run_id, page_size=1000)
        metrics: dict[str, list[tuple[int, float]]] = {}
        for point in clients.registry.pages("ListRunMetrics", asked, "metrics"):
            metrics.setdefault(point.name, []).append((point.step, point.value))
        label = run.spec.label or run_kinds.kind_from_message(run.spec.kind)
        labels[label] = labels.get(label, 0) + 1
        found.append(RunWithResults(run, label, tuple(convert.row_from_message(row) for row in rows), metrics))
    return [_told_apart(one) if labels[one.label] > 1 else one for one in found]


def _told_apart(one: RunWithResults) -> RunWithResults:
    """A run whose label others have too."""
    label = f"{one.label} ({one.run.id})"
    rows = tuple(replace(row, method=label if row.method == one.label else row.method) for row in one.rows)
    return replace(one, label=label, rows=rows)


def _reported(one: RunWithResults) -> "Reported":
    from lwmecps_core.reporting.page import Reported

    run, spec = one.run, one.run.spec
    facts = {
        "id": run.id,
        "kind": run_kinds.kind_from_message(spec.kind),
        "state": STATES[run.state].lower(),
        "steps": f"{run.step}/{run.total_steps or '?'}",
        "seed": str(spec.seed),
        "tasks": ", ".join(spec.task_ids),
        "from": spec.policy_id,
        "policy": run.result_policy_id,
        "created": f"{run.create_time.ToDatetime():%Y-%m-%d %H:%M}",
        "error": run.error,
    }
    return Reported(one.label, {name: text for name, text in facts.items() if text}, one.rows, one.metrics)


def _tell(files: list[str], as_json: bool) -> None:
    if as_json:
        print_json({"files": files})
    else:
        for file in files:
            console.print(file, highlight=False, soft_wrap=True, markup=False)
