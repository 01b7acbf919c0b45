"""`lwmecps runs | watch | pause | resume | cancel`: what is being done, and how far it is."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lwmecps_core.kinds import KINDS
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from protos.lwmecps.registry.v1 import run_pb2
from services.cli import render
from services.cli.following import follow, report
from services.cli.tasks import Json
from services.common import convert

app = typer.Typer()
if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[tuple(KINDS)]
State = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]


@app.command()
def runs(
    ctx: typer.Context,
    state: Annotated[State | None, typer.Option(help="Only runs in this state.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only runs of this kind.")] = None,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    request = pb.ListRunsRequest(
        state=f"RUN_STATE_{(state or 'unspecified').upper()}", kind=convert.kind_to_message(kind) if kind else None
    )
    found = ctx.obj.registry.pages("ListRuns", request, "runs")
    if as_json:
        render.print_json([render.plain(run) for run in found])
    else:
        render.console.print(render.runs_table(found))


@app.command()
def watch(ctx: typer.Context, run_id: str, as_json: Json = False) -> None:
    """Follow a run until it ends: a live progress bar and its newest metrics, then its results."""
    report(ctx.obj, follow(ctx.obj, run_id, bars=not as_json), as_json)


@app.command()
def pause(ctx: typer.Context, run_id: str, as_json: Json = False) -> None:
    """Ask a run to pause; its state is kept."""
    _show(ctx.obj.registry("PauseRun", pb.PauseRunRequest(run_id=run_id)).run, as_json)


@app.command()
def resume(ctx: typer.Context, run_id: str, as_json: Json = False) -> None:
    """Let a paused run go on."""
    _show(ctx.obj.registry("ResumeRun", pb.ResumeRunRequest(run_id=run_id)).run, as_json)


@app.command()
def cancel(ctx: typer.Context, run_id: str, as_json: Json = False) -> None:
    """Ask a run to end."""
    _show(ctx.obj.registry("CancelRun", pb.CancelRunRequest(run_id=run_id)).run, as_json)


def _show(run: run_pb2.Run, as_json: bool) -> None:
    if as_json:
        render.print_json(render.plain(run))
    else:
        render.console.print(render.runs_table([run]))
