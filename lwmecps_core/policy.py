"""A learnt policy as one immutable value, and its file format (safetensors with JSON metadata, never pickle)."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lwmecps_core import tensor_file
from lwmecps_core.algorithms.base import Extra, Params
from lwmecps_core.config import dump
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import WRITTEN, EnvSpec
from lwmecps_core.tensor_file import check_finite, check_format
from lwmecps_core.tree import flatten, prefixed, under, unflatten

FORMAT = "lwmecps-policy-1"
LEARNT = "inner_lr"
"""What `learnt` is called in a file, since it was nothing but rates."""


@dataclass(frozen=True)
class PolicyData:
    """Weights, the algorithm and the environment they were made for, and how it adapts if it was meta-learnt.

    `learnt` is its meta-learner's own tree (such as a rate for every parameter that adapts), or empty.
    """

    algorithm: AlgorithmConfig
    env_spec: EnvSpec
    params: Params
    extra: Extra
    learnt: Params = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def to_bytes(policy: PolicyData) -> bytes:
    """The policy as one file whose header carries everything that is not a tensor."""
    tensors = prefixed(policy.extra, "extra/") | flatten(policy.params, "params") | flatten(policy.learnt, LEARNT)
    header = {
        "format": FORMAT,
        "algorithm": json.dumps(dump(policy.algorithm)),
        "env_spec": json.dumps(asdict(policy.env_spec)),
        "metadata": json.dumps(policy.metadata, sort_keys=True),
    }
    return tensor_file.write(tensors, header)


def blind_to_later(algorithm: AlgorithmConfig, made_for: EnvSpec) -> AlgorithmConfig:
    """The algorithm of a policy, which ignores what environments didn't show yet when the policy was made."""
    names = {name for name, _ in made_for.blocks}
    later = tuple(name for name in WRITTEN if name not in names and name not in algorithm.ignore_blocks)
    return replace(algorithm, ignore_blocks=algorithm.ignore_blocks + later)


def from_bytes(data: bytes, source: str) -> PolicyData:
    """Read `to_bytes`' output; raises `InvalidInput` naming `source` when it is not such a file, and the tensor that
    holds something else than finite numbers.
    """
    with tensor_file.reading(source, "weights", "policy file"):
        tensors, header = tensor_file.read(data)
        check_format(header, FORMAT)
        check_finite(tensors)
        spec = tensor_file.entry(header, "env_spec", EnvSpec, source)
        return PolicyData(
            blind_to_later(tensor_file.entry(header, "algorithm", AlgorithmConfig, source), spec),
            spec,
            unflatten(tensors, "params"),
            under(tensors, "extra/"),
            unflatten(tensors, LEARNT),
            json.loads(header["metadata"]),
        )
