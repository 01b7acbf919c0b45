"""The file format of a checkpoint: a loop's state as safetensors with JSON metadata, never pickle."""

import json
from dataclasses import asdict, replace

import safetensors.torch
import torch

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.inbox import Ledger
from lwmecps_core.training.progress import LoopState

FORMAT = "lwmecps-checkpoint-1"
LEDGER = "lwmecps.ledger"
"""Name of the rollouts' ledger among the scalars of a stored state."""


def to_bytes(state: LoopState) -> bytes:
    """The state as one file; tensors may share memory, the file holds a copy of each, and their order."""
    header = {
        "format": FORMAT,
        "step": str(state.step),
        "scalars": json.dumps(state.scalars),
        "order": json.dumps(list(state.tensors)),
    }
    return safetensors.torch.save(
        {k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in state.tensors.items()}, header
    )


def with_ledger(state: LoopState, ledger: Ledger | None) -> LoopState:
    """The state with the ledger beside the loop's own scalars, as it is stored."""
    return state if ledger is None else replace(state, scalars=state.scalars | {LEDGER: asdict(ledger)})


def part_ledger(state: LoopState) -> tuple[LoopState, Ledger]:
    """The inverse of `with_ledger`; an empty ledger where none was stored."""
    own = {name: value for name, value in state.scalars.items() if name != LEDGER}
    return replace(state, scalars=own), Ledger(**state.scalars.get(LEDGER, {}))


def from_bytes(data: bytes, source: str) -> LoopState:
    """Read `to_bytes`' output; raises `InvalidInput` naming `source` when it is not such a file."""
    try:
        size = int.from_bytes(data[:8], "little")
        header: dict[str, str] = json.loads(data[8 : 8 + size])["__metadata__"]
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}, expected {FORMAT!r}")
        tensors = safetensors.torch.load(data)
        in_order = {name: tensors[name] for name in json.loads(header["order"])}
        return LoopState(int(header["step"]), in_order, json.loads(header["scalars"]))
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise InvalidInput(source, [Violation("checkpoint", f"not a checkpoint file: {error}")]) from None
