"""Adam or plain descent over a parameter tree, with its state as flat tensors for checkpoints."""

from collections.abc import Mapping
from math import inf
from typing import Literal

import torch
from torch import Tensor

from lwmecps_core.tree import Tree, expanded, flatten, norm_by_task, tree_map

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Optimiser:
    """Owns leaf tensors with a leading task axis, steps them by Adam, and clips gradients task by task.

    Both methods work leaf by leaf, so that tasks don't touch one another. `params` are updated in place. `other_rates`
    are the learning rates of groups that have their own.
    """

    def __init__(
        self, params: Tree, learning_rate: float, max_grad_norm: float, other_rates: Mapping[str, float] | None = None,
        method: Literal["adam", "sgd"] = "adam",
    ) -> None:  # fmt: skip
        self.params = tree_map(
            lambda leaf: leaf.detach().clone(memory_format=torch.contiguous_format).requires_grad_(), params
        )
        self._limit = max_grad_norm
        rates = {group: learning_rate for group in params} | dict(other_rates or {})
        groups = [{"params": list(names.values()), "lr": rates[group]} for group, names in self.params.items()]
        self._method = torch.optim.Adam(groups, fused=True) if method == "adam" else torch.optim.SGD(groups)

    def step(self, grads: Tree) -> Tensor:
        """One step against `grads`; returns their norms before clipping, one per task `[K]`.

        What has no gradient stays, and so do its moments: Adam would move it even by a zero gradient.
        """
        norms = norm_by_task(grads)
        scale = None if self._limit == inf else (self._limit / (norms + 1e-6)).clamp_max(1.0)
        for group, names in self.params.items():
            for name, leaf in names.items():
                grad = grads.get(group, {}).get(name)
                if grad is not None and scale is not None:
                    grad = grad * scale.reshape(-1, *[1] * (leaf.dim() - 1))
                # Fused Adam walks both by the layout of the parameter, whatever that of the gradient is.
                leaf.grad = grad if grad is None else grad.contiguous()
        self._method.step()
        return norms

    def state(self) -> dict[str, Tensor]:
        """Parameters and moments, flat; they are the live tensors, not copies."""
        flat = flatten(self.params, "params")
        for group, names in self.params.items():
            for name, leaf in names.items():
                kept = self._method.state[leaf]
                flat |= {f"{key}/{group}/{name}": kept[key] for key in MOMENTS if key in kept}
        return {name: leaf.detach() for name, leaf in flat.items()}

    def restore(self, flat: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        for group, names in self.params.items():
            for name, leaf in names.items():
                with torch.no_grad():
                    leaf.copy_(flat[f"params/{group}/{name}"])
                saved = {key: flat.get(f"{key}/{group}/{name}") for key in MOMENTS}
                kept = {key: x.clone() for key, x in saved.items() if x is not None}
                if kept:
                    self._method.state[leaf] = kept


def with_task_axis(tree: Tree, tasks: int) -> Tree:
    """Independent copies of a tree for `tasks` tasks: `[tasks, ...]`."""
    return tree_map(lambda leaf: leaf.clone(), expanded(tree, tasks))
