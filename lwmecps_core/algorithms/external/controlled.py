"""A gated recurrent unit that controls an external memory: one step of both, and whole sequences of them."""

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from lwmecps_core.algorithms import gru
from lwmecps_core.algorithms.external import loops
from lwmecps_core.algorithms.external.addressing import Core, joined, numbers, split
from lwmecps_core.algorithms.networks import Net, init_linear

SHARP = 3.0
"""What is told first for strengths of keys: similarities lie between −1 and 1, and a softmax of these over ten slots is
nearly even."""
WEIGHTS = {"gru_state.weight": 2, "gru_reads.weight": 2, "interface.weight": 2, "interface.bias": 1}
"""What a step takes beside inputs and the state, and how many axes of each come after those of tasks."""


def init(core: Core, units: int, generator: torch.Generator) -> Net:
    """Orthogonal weights from what was read to the gates of `units` units, and from their state to the interface."""
    read = init_linear("gru_reads", core.size.reads * core.size.width, 3 * units, 1.0, generator)
    told = init_linear("interface", units, numbers(core.interface), 1.0, generator)
    for name, part in split(told["interface.bias"], core.interface).items():
        part.fill_(SHARP if "strength" in name else 0.0)
    return {"gru_reads.weight": read["gru_reads.weight"]} | told


def step(core: Core, net: Net, inputs: Tensor, state: Tensor) -> Tensor:
    """The state after one step: inputs of the gates `[..., R, 3·H]`, state `[..., R, H + M]` → the last's shape.

    A state is that of the unit, then the memory's parts side by side, of which what was read is the first. The unit
    takes in the input and what was read one step before; by its new state it tells the memory what to do (Graves et al.
    2016, Nature 538, 471–476, Methods, "Controller network", with a gated recurrent unit for a controller).
    """
    h = inputs.shape[-1] // 3
    unit, memory = state[..., :h], state[..., h:]
    reads = memory[..., : core.size.reads * core.size.width]
    unit = gru.step(inputs + reads @ net["gru_reads.weight"], net["gru_state.weight"], unit)
    told = unit @ net["interface.weight"] + net["interface.bias"].unsqueeze(-2)
    after = core.step(split(told, core.interface), split(memory, core.memory))
    return torch.cat([unit, joined(after, core.memory)], -1)


def unrolled(core: Core, net: Net, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The unit's state and what was read after each of T steps, `[..., T, R, H + reads]`, and the state after the last.

    `inputs` `[..., T, R, 3·H]`, `state` `[..., R, H + M]`, where `...` are the axes of the weights `[..., in, out]`.
    Compiled loops, but where gradients are gone through again or the program is traced: then `step` by `step`.
    """
    lead, (t, r), kept = inputs.shape[:-3], inputs.shape[-3:-1], state.shape[-1]
    flat = [net[name].expand(*lead, *net[name].shape[-axes:]) for name, axes in WEIGHTS.items()]
    given = [x.reshape(-1, *x.shape[len(lead) :]) for x in (inputs, *flat, state.expand(*lead, r, kept))]
    if get_proxy_mode() is not None:
        shown, last = stepped(core, *given)
    else:
        shown, last = loops.unrolled(core, stepped, *given)
    return shown.reshape(*lead, t, r, -1), last.reshape(*lead, r, kept)


def stepped(core: Core, inputs: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
    """The same by PyTorch's operations."""
    *weights, now = given
    net, found = dict(zip(WEIGHTS, weights, strict=True)), list[Tensor]()
    shown = inputs.shape[-1] // 3 + core.size.reads * core.size.width
    for each in inputs.unbind(-3):
        now = step(core, net, each, now)
        found.append(now[..., :shown])
    return torch.stack(found, -3), now
