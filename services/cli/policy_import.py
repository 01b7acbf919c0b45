"""`lwmecps policies import`: store a policy that was learnt elsewhere, or downloaded from another registry."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lwmecps_core.errors import InvalidInput, Violation
from protos.lwmecps.registry.v1 import policy_pb2
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.cli import render
from services.cli.clients import Clients
from services.cli.tasks import Json
from services.common import convert
from services.common.errors import rpc_errors

if TYPE_CHECKING:
    from lwmecps_core.policy import PolicyData

app = typer.Typer()
CHUNK_BYTES = 2**20
UPLOAD_S = 600.0
"""Deadline of an upload."""
MAX_NAME = 253


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A policy file (safetensors).")],
    name: Annotated[str, typer.Option(help="Name of the policy; default that of the file.")] = "",
    as_json: Json = False,
) -> None:
    """Store a policy file: of `policies download`, or of Stable-Baselines3 (`lwmecps_core.integrations.sb3_policies`).

    The same file under the same name again is the same policy, for a week.
    """
    from lwmecps_core import fits  # PyTorch, which reads the files, takes long to import
    from lwmecps_core.policy import from_bytes

    name = name or file.name.removesuffix(".safetensors")
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidInput("options", [Violation("--name", f"must be 1 to {MAX_NAME} characters, not {len(name)}")])
    data = file.read_bytes()
    policy = from_bytes(data, str(file))
    fits.bound(policy, policy.env_spec, str(file), "weights")
    stored = upload(ctx.obj, name, policy, data)
    if as_json:
        render.print_json(render.plain(stored))
        return
    made_for = f"{stored.env_spec.env_id}, {policy.algorithm.name}"
    render.console.print(f"{stored.id}  {name}  {made_for}  {len(data):,} bytes", highlight=False, markup=False)


def upload(clients: Clients, name: str, policy: "PolicyData", data: bytes) -> policy_pb2.Policy:
    """Store a policy whose file is `data`; the policy as the registry has it."""
    digest = hashlib.sha256(data).hexdigest()
    request = pb.CreatePolicyRequest(
        name=name,
        algorithm=convert.algorithm_to_message(policy.algorithm),
        env_spec=convert.env_spec_to_message(policy.env_spec),
        labels={key: text for key, text in policy.metadata.items() if key == "made_by" and isinstance(text, str)},
        request_id=f"import-{hashlib.sha256(name.encode()).hexdigest()[:32]}-{digest}",
    )
    created = clients.registry("CreatePolicy", request).policy
    artefact = policy_pb2.ArtefactHeader(size_bytes=len(data), sha256=digest)
    header = pb.PolicyWeightsHeader(policy_id=created.id, artefact=artefact)
    parts = [pb.UploadPolicyWeightsRequest(header=header)]
    parts += [pb.UploadPolicyWeightsRequest(chunk=data[i : i + CHUNK_BYTES]) for i in range(0, len(data), CHUNK_BYTES)]
    with rpc_errors(clients.registry.address):
        stored: policy_pb2.Policy = clients.registry.stub.UploadPolicyWeights(iter(parts), timeout=UPLOAD_S).policy
    return stored
