"""Names of the kinds of runs ↔ the enum of the contracts, without what the library knows of them."""

from typing import cast

from protos.lwmecps.registry.v1 import run_pb2

_PREFIX = "RUN_KIND_"
NAMES = tuple(name.removeprefix(_PREFIX).lower() for name, number in run_pb2.RunKind.items() if number)
"""The names of all kinds, in the contract's order."""


def kind_to_message(kind: str) -> run_pb2.RunKind:
    """The enum value of a kind of run."""
    return cast(run_pb2.RunKind, run_pb2.RunKind.Value(_PREFIX + kind.upper()))


def kind_from_message(kind: run_pb2.RunKind) -> str:
    """The kind of run of an enum value; empty when it is not set."""
    return run_pb2.RunKind.Name(kind).removeprefix(_PREFIX).lower() if kind else ""
