"""`lwmecps policies list | download`: what was learnt."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.cli import render
from services.cli.files import write_whole
from services.cli.tasks import Json
from services.common import weights

app = typer.Typer(help="List stored policies and download their weights.", no_args_is_help=True)


@app.command("list")
def list_(
    ctx: typer.Context,
    run_id: Annotated[str, typer.Option(help="Only policies that this run made.")] = "",
    as_json: Json = False,
) -> None:
    """List stored policies, newest first."""
    found = ctx.obj.registry.pages("ListPolicies", pb.ListPoliciesRequest(run_id=run_id), "policies")
    if as_json:
        render.print_json([render.plain(policy) for policy in found])
        return
    lines = (
        (p.id, p.name, p.run_id, str(p.algorithm.WhichOneof("algorithm")), p.env_spec.env_id, f"{p.size_bytes:,}")
        for p in found
    )
    render.console.print(render.table("policies", ("id", "name", "run", "algorithm", "environment", "bytes"), lines))


@app.command()
def download(
    ctx: typer.Context,
    policy_id: str,
    to: Annotated[Path | None, typer.Option(help="File to write; default POLICY_ID.safetensors.")] = None,
    as_json: Json = False,
) -> None:
    """Download a policy's weights (safetensors); their SHA-256 is checked."""
    path = to or Path(f"{policy_id}.safetensors")
    data = weights.download(ctx.obj.registry, policy_id)
    digest = hashlib.sha256(data).hexdigest()
    write_whole(path, data)
    if as_json:
        render.print_json({"policy_id": policy_id, "file": str(path), "size_bytes": len(data), "sha256": digest})
    else:
        render.console.print(f"{path}  {len(data):,} bytes", highlight=False)
