"""`lwmecps policies`: what was learnt."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from protos.lwmecps.registry.v1 import policy_pb2
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.cli import render
from services.cli.files import write_whole
from services.cli.json_option import Json

app = typer.Typer(help="List, import, export and delete stored policies.", no_args_is_help=True)


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
def delete(
    ctx: typer.Context, policy_ids: Annotated[list[str], typer.Argument(help="Ids of policies.", metavar="POLICY...")]
) -> None:
    """Remove policies and their weights; refused while an unfinished run starts from one or makes it."""
    for policy_id in policy_ids:
        ctx.obj.registry("DeletePolicy", policy_pb2.DeletePolicyRequest(policy_id=policy_id))
        render.console.print(f"{policy_id} deleted", highlight=False)


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A policy's file (safetensors).")],
    name: Annotated[str, typer.Option(help="Its name; default the file's.")] = "",
    as_json: Json = False,
) -> None:
    """Store a policy that was made elsewhere; nothing is unpickled, and what doesn't fit its own record is refused."""
    from lwmecps_core import fits, policy  # PyTorch, which few commands need
    from services.common import weights

    data = file.read_bytes()
    made = policy.from_bytes(data, str(file))
    fits.bound(made, made.env_spec, str(file), "weights")
    stored = weights.store(ctx.obj.registry, made, data, name or file.stem)
    if as_json:
        render.print_json(render.plain(stored))
    else:
        render.console.print(f"{stored.id}  {stored.name}", highlight=False)


@app.command("export")
@app.command()
def download(
    ctx: typer.Context,
    policy_id: str,
    to: Annotated[Path | None, typer.Option(help="File to write; default POLICY_ID.safetensors.")] = None,
    as_json: Json = False,
) -> None:
    """Write a policy's file (safetensors); its SHA-256 is checked."""
    from services.common import weights

    path = to or Path(f"{policy_id}.safetensors")
    data = weights.download(ctx.obj.registry, policy_id)
    digest = hashlib.sha256(data).hexdigest()
    write_whole(path, data)
    if as_json:
        render.print_json({"policy_id": policy_id, "file": str(path), "size_bytes": len(data), "sha256": digest})
    else:
        render.console.print(f"{path}  {len(data):,} bytes", highlight=False)
