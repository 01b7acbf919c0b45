"""Replica counts through compiled loops, as operations that PyTorch can differentiate: see `count_loops`.

Gradients that are gone through again, and programs that are traced, take the operations of `heads` instead.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from lwmecps_core.algorithms import count_loops

Judge = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""The same by PyTorch's operations: outputs, masks, actions → log-probabilities, entropies."""


def possible(out: Tensor) -> bool:
    """Whether loops can be taken."""
    return get_proxy_mode() is None and out.device.type == "cpu"


def judged(plain: Judge, out: Tensor, mask: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of actions and entropies, both summed over components: outputs `[..., A, 3]`, masks `[..., M]`,
    actions `[..., A]` → `[...]`.
    """
    if torch.is_grad_enabled():
        found: tuple[Tensor, Tensor] = _Judged.apply(out, mask, action, plain)  # type: ignore[no-untyped-call]
        return found
    return _judged(out, mask, action)


def chosen(out: Tensor, mask: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
    """Actions `[..., A]`, int32, by noise of that shape or without chance; and their log-probabilities `[...]`."""
    outs, masks = _flat(out, mask)
    given = torch.empty(0, dtype=out.dtype) if noise is None else noise.to(out.dtype)
    action, log_prob = np.empty(len(outs), np.int32), np.empty(len(outs), outs.dtype)
    count_loops.choosing()(outs, masks, np.ascontiguousarray(given.reshape(-1).numpy()), _bits(), action, log_prob)
    return torch.from_numpy(action).reshape(out.shape[:-1]), _summed(log_prob, out)


class _Judged(Function):
    @staticmethod
    def forward(ctx: Any, out: Tensor, mask: Tensor, action: Tensor, plain: Judge) -> tuple[Tensor, Tensor]:
        ctx.plain = plain
        ctx.save_for_backward(out, mask, action)
        return _judged(out.detach(), mask, action)

    @staticmethod
    def backward(ctx: Any, *pulls: Tensor) -> tuple[Tensor | None, ...]:
        out, mask, action = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = torch.autograd.grad(ctx.plain(out, mask, action), out, pulls, create_graph=True)[0]
            return found, None, None, None
        outs, masks = _flat(out.detach(), mask)
        of_out = np.empty_like(outs)
        each = [np.ascontiguousarray(x.unsqueeze(-1).expand(out.shape[:-1]).reshape(-1).numpy()) for x in pulls]
        count_loops.blaming()(outs, masks, _actions(out, action), _bits(), *each, of_out)
        return torch.from_numpy(of_out).reshape(out.shape), None, None, None


def _judged(out: Tensor, mask: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    outs, masks = _flat(out, mask)
    log_prob, entropy = np.empty(len(outs), outs.dtype), np.empty(len(outs), outs.dtype)
    count_loops.judging()(outs, masks, _actions(out, action), _bits(), log_prob, entropy)
    return _summed(log_prob, out), _summed(entropy, out)


def _flat(out: Tensor, mask: Tensor) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Outputs `[C, 3]` and masks `[C, n]` of all components."""
    masks = mask.reshape(*mask.shape[:-1], out.shape[-2], -1)
    masks = masks.expand(*out.shape[:-1], -1).reshape(-1, masks.shape[-1])
    return np.ascontiguousarray(out.reshape(-1, out.shape[-1]).numpy()), np.ascontiguousarray(masks.numpy())


def _actions(out: Tensor, action: Tensor) -> NDArray[np.int32]:
    return np.ascontiguousarray(action.expand(out.shape[:-1]).reshape(-1).numpy(), np.int32)


def _summed(each: NDArray[Any], out: Tensor) -> Tensor:
    return torch.from_numpy(each).reshape(out.shape[:-1]).sum(-1)


def _bits() -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Room for `count_loops.exp`."""
    bits = np.empty(count_loops.AT_ONCE, np.int32)
    return bits, bits.view(np.float32)
