"""A learnt policy as one immutable value, and its file format (safetensors with JSON metadata, never pickle)."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import safetensors.torch
from torch import Tensor

from lwmecps_core.algorithms.base import Extra, Params
from lwmecps_core.config import dump, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import EnvSpec

FORMAT = "lwmecps-policy-1"


@dataclass(frozen=True)
class PolicyData:
    """Weights, the algorithm and the environment they were made for, and the inner rates if it was meta-learnt.

    `inner_lr` has one learnt rate for every parameter that adapts (Meta-SGD), or is empty.
    """

    algorithm: AlgorithmConfig
    env_spec: EnvSpec
    params: Params
    extra: Extra
    inner_lr: Params = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def to_bytes(policy: PolicyData) -> bytes:
    """The policy as one safetensors file whose header carries everything that is not a tensor."""
    tensors: dict[str, Tensor] = {f"extra/{k}": v for k, v in policy.extra.items()}
    for kind, tree in (("params", policy.params), ("inner_lr", policy.inner_lr)):
        tensors |= {f"{kind}/{g}/{k}": v for g, group in tree.items() for k, v in group.items()}
    header = {
        "format": FORMAT,
        "algorithm": json.dumps(dump(policy.algorithm)),
        "env_spec": json.dumps(asdict(policy.env_spec)),
        "metadata": json.dumps(policy.metadata, sort_keys=True),
    }
    return safetensors.torch.save({k: v.detach().contiguous() for k, v in tensors.items()}, metadata=header)


def from_bytes(data: bytes, source: str) -> PolicyData:
    """Read `to_bytes`' output; raises `InvalidInput` naming `source` when it is not such a file, and the tensor that
    holds something else than finite numbers.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        header: dict[str, str] = json.loads(data[8 : 8 + size])["__metadata__"]
        tensors = safetensors.torch.load(data)
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}, expected {FORMAT!r}")
        for key, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise ValueError(f"{key} holds NaN or infinite numbers")
        env = json.loads(header["env_spec"])
        env["blocks"] = tuple((name, tuple(shape)) for name, shape in env["blocks"])
        env["nvec"] = tuple(env["nvec"])
        algorithm = parse(AlgorithmConfig, json.loads(header["algorithm"]), source)
        metadata = json.loads(header["metadata"])
        env_spec = EnvSpec(**env)
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise InvalidInput(source, [Violation("weights", f"not a policy file: {error}")]) from None
    trees: dict[str, Params] = {"params": {}, "inner_lr": {}}
    extra: Extra = {}
    for key, tensor in tensors.items():
        kind, _, rest = key.partition("/")
        if kind == "extra":
            extra[rest] = tensor
        else:
            group, _, name = rest.partition("/")
            trees[kind].setdefault(group, {})[name] = tensor
    return PolicyData(algorithm, env_spec, trees["params"], extra, trees["inner_lr"], metadata)
