"""`lwmecps runs | watch | pause | resume | cancel`: what is being done, and how far it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lwmecps_core.errors import InvalidInput, Violation
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from protos.lwmecps.registry.v1 import run_pb2
from services.cli import render
from services.cli.json_option import Json
from services.common import run_kinds

app = typer.Typer()
if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[run_kinds.NAMES]
State = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
OfState = Annotated[State | None, typer.Option(help="Only runs in this state.")]
OfKind = Annotated[Kind | None, typer.Option(help="Only runs of this kind.")]


group = typer.Typer(invoke_without_command=True)


@group.callback()
def runs(ctx: typer.Context, state: OfState = None, kind: OfKind = None, as_json: Json = False) -> None:
    """List runs, newest first; or delete runs, or export their results."""
    given = [name for name, value in (("--state", state), ("--kind", kind), ("--json", as_json)) if value]
    if not ctx.invoked_subcommand:
        list_(ctx, state, kind, as_json)
    elif given:
        reason = f"belongs behind the command that it is for; before {ctx.invoked_subcommand} it says nothing"
        raise InvalidInput("options", [Violation(name, reason) for name in given])


@group.command("list")
def list_(ctx: typer.Context, state: OfState = None, kind: OfKind = None, as_json: Json = False) -> None:
    """List runs, newest first, as `runs` alone does."""
    request = pb.ListRunsRequest(
        state=f"RUN_STATE_{(state or 'unspecified').upper()}", kind=run_kinds.kind_to_message(kind) if kind else None
    )
    found = ctx.obj.registry.pages("ListRuns", request, "runs")
    if as_json:
        render.print_json([render.plain(run) for run in found])
    else:
        render.console.print(render.runs_table(found))
        for line in render.reasons(found):
            render.console.print(line, highlight=False, markup=False, soft_wrap=True)


@group.command()
def delete(
    ctx: typer.Context, run_ids: Annotated[list[str], typer.Argument(help="Ids of runs.", metavar="RUN...")]
) -> None:
    """Remove runs that have ended, with all that they reported; policies that they made stay."""
    for run_id in run_ids:
        ctx.obj.registry("DeleteRun", run_pb2.DeleteRunRequest(run_id=run_id))
        render.console.print(f"{run_id} deleted", highlight=False)


@group.command()
def export(
    ctx: typer.Context,
    run_ids: Annotated[list[str], typer.Argument(help="Ids of runs.", metavar="RUN...")],
    to: Annotated[
        Path, typer.Option(help="File to write: .csv, .json, .parquet (rows), .tex or .md (means over tasks).")
    ] = Path("results.csv"),
) -> None:
    """Write the results of runs to a file, in the form that its ending names."""
    from lwmecps_core.reporting.files import write_rows
    from services.cli.exports import gather

    rows = [row for one in gather(ctx.obj, run_ids) for row in one.rows]
    if not rows:
        raise InvalidInput("runs", [Violation(", ".join(run_ids), "have no results: evaluate or adapt makes some")])
    write_rows(rows, to)
    render.console.print(f"{to}  {len(rows):,} rows", highlight=False)


@app.command()
def watch(ctx: typer.Context, run_id: str, as_json: Json = False) -> None:
    """Follow a run until it ends: a live progress bar and its newest metrics, then its results."""
    from services.cli.following import follow, report

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
