"""Policies' files from the registry."""

import hashlib
import os
from typing import TYPE_CHECKING

from lwmecps_core.errors import InvalidInput, Violation
from protos.lwmecps.registry.v1 import policy_pb2
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.common import convert
from services.common.client import Caller, connect
from services.common.settings import CLI, ClientSettings, check_address, read

if TYPE_CHECKING:
    from lwmecps_core.policy import PolicyData

REGISTRY = "127.0.0.1:50051"
CHUNK = 256 * 1024
UPLOAD_S = 600.0


def download(registry: Caller, policy_id: str) -> bytes:
    """A policy's file (safetensors); raises `InvalidInput` where another one arrived than the registry has."""
    data, expected = bytearray(), ""
    for part in registry.stream("DownloadPolicyWeights", pb.DownloadPolicyWeightsRequest(policy_id=policy_id)):
        if part.WhichOneof("part") == "header":
            expected = part.header.sha256
        else:
            data += part.chunk
    if hashlib.sha256(data).hexdigest() != expected:
        raise InvalidInput(policy_id, [Violation("weights", "what arrived has another SHA-256 than the registry says")])
    return bytes(data)


def store(registry: Caller, policy: "PolicyData", data: bytes, name: str) -> policy_pb2.Policy:
    """Register a policy that was made elsewhere, whose file is `data`, and upload that as it is.

    The same file under the same name again is the same policy, for as long as the registry remembers requests. Raises
    `InvalidInput` for a name or weights that the registry does not take.
    """
    digest = hashlib.sha256(data).hexdigest()
    request = pb.CreatePolicyRequest(
        name=name,
        algorithm=convert.algorithm_to_message(policy.algorithm),
        env_spec=convert.env_spec_to_message(policy.env_spec),
        labels={key: text for key, text in policy.metadata.items() if key == "made_by" and isinstance(text, str)},
        request_id=f"import-{hashlib.sha256(name.encode()).hexdigest()[:32]}-{digest}",
    )
    created = registry("CreatePolicy", request).policy
    artefact = policy_pb2.ArtefactHeader(size_bytes=len(data), sha256=digest)
    header = pb.PolicyWeightsHeader(policy_id=created.id, artefact=artefact)
    parts = [pb.UploadPolicyWeightsRequest(header=header)]
    parts += [pb.UploadPolicyWeightsRequest(chunk=data[i : i + CHUNK]) for i in range(0, len(data), CHUNK)]
    stored: policy_pb2.Policy = registry("UploadPolicyWeights", iter(parts), UPLOAD_S).policy
    return stored


def fetch(policy_id: str, registry: str = "") -> bytes:
    """The entry point `lwmecps.policies`: the file, from the registry at `registry` (`host:port`).

    Empty: that of `LWMECPS_CLI_REGISTRY`, else the usual one; `LWMECPS_CLIENT_…` say how it is reached.
    """
    address = registry or os.environ.get(f"{CLI}REGISTRY", "") or REGISTRY
    try:
        check_address(address)
    except ValueError as error:
        raise InvalidInput("load_policy", [Violation("registry", f"{error}: write it as {REGISTRY}")]) from None
    with connect(address, read(ClientSettings, ClientSettings.prefix)) as channel:
        return download(Caller(address, TaskRegistryServiceStub(channel)), policy_id)  # type: ignore[no-untyped-call]
