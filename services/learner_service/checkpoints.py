"""The file format of a checkpoint: a loop's state as safetensors with JSON metadata, never pickle."""

import json
from dataclasses import asdict, replace

from lwmecps_core import tensor_file
from lwmecps_core.rollout.inbox import Ledger
from lwmecps_core.training.progress import LoopState

FORMAT = "lwmecps-checkpoint-1"
LEDGER = "lwmecps.ledger"
"""Name of the rollouts' ledger among the scalars of a stored state."""


def to_bytes(state: LoopState) -> bytes:
    """The state as one file, which also holds the order of the tensors."""
    header = {
        "format": FORMAT,
        "step": str(state.step),
        "scalars": json.dumps(state.scalars),
        "order": json.dumps(list(state.tensors)),
    }
    return tensor_file.write(state.tensors, header)


def with_ledger(state: LoopState, ledger: Ledger | None) -> LoopState:
    """The state with the ledger beside the loop's own scalars, as it is stored."""
    return state if ledger is None else replace(state, scalars=state.scalars | {LEDGER: asdict(ledger)})


def part_ledger(state: LoopState) -> tuple[LoopState, Ledger]:
    """The inverse of `with_ledger`; an empty ledger where none was stored."""
    own = {name: value for name, value in state.scalars.items() if name != LEDGER}
    return replace(state, scalars=own), Ledger(**state.scalars.get(LEDGER, {}))


def from_bytes(data: bytes, source: str) -> LoopState:
    """Read `to_bytes`' output; raises `InvalidInput` naming `source` when it is not such a file.

    Its numbers may be anything: a resumed run does what an undisturbed one does, and that one meets no file.
    """
    with tensor_file.reading(source, "checkpoint", "checkpoint file"):
        tensors, header = tensor_file.read(data)
        tensor_file.check_format(header, FORMAT)
        in_order = {name: tensors[name] for name in json.loads(header["order"])}
        return LoopState(int(header["step"]), in_order, json.loads(header["scalars"]))
