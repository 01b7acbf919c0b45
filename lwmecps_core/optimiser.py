"""Adam over a parameter tree, with its state as flat tensors for checkpoints."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lwmecps_core.tree import Tree, expanded, flatten, leaves, norm_by_task, tree_map, unflatten, with_leaves


class Optimiser:
    """Owns leaf tensors with a leading task axis, steps them by Adam, and clips gradients task by task.

    Adam works leaf by leaf, so that tasks don't touch one another. `params` are updated in place. `other_rates` are the
    learning rates of groups that have their own.
    """

    def __init__(
        self, params: Tree, learning_rate: float, max_grad_norm: float, other_rates: Mapping[str, float] | None = None
    ) -> None:
        self.params = tree_map(lambda leaf: leaf.detach().clone().requires_grad_(), params)
        self._limit = max_grad_norm
        rates = {group: learning_rate for group in params} | dict(other_rates or {})
        groups = [{"params": list(names.values()), "lr": rates[group]} for group, names in self.params.items()]
        self._adam = torch.optim.Adam(groups, foreach=True)

    def step(self, grads: Tree) -> Tensor:
        """One step against `grads`; returns their norms before clipping, one per task `[K]`."""
        norms = norm_by_task(grads)
        scale = (self._limit / (norms + 1e-6)).clamp_max(1.0)
        for group, names in self.params.items():
            for name, leaf in names.items():
                leaf.grad = grads[group][name] * scale.reshape(-1, *[1] * (leaf.dim() - 1))
        self._adam.step()
        return norms

    def state(self) -> dict[str, Tensor]:
        """Parameters and moments, flat; they are the live tensors, not copies."""
        flat = flatten(self.params, "params")
        states = [self._adam.state[leaf] for leaf in leaves(self.params)]
        if all(states):
            for key in ("step", "exp_avg", "exp_avg_sq"):
                flat |= flatten(with_leaves(self.params, (s[key] for s in states)), key)
        return {name: leaf.detach() for name, leaf in flat.items()}

    def restore(self, flat: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        saved = {key: unflatten(flat, key) for key in ("params", "step", "exp_avg", "exp_avg_sq")}
        for group, names in self.params.items():
            for name, leaf in names.items():
                with torch.no_grad():
                    leaf.copy_(saved["params"][group][name])
                if saved["step"]:
                    moments = ("step", "exp_avg", "exp_avg_sq")
                    self._adam.state[leaf] = {key: saved[key][group][name].clone() for key in moments}


def with_task_axis(tree: Tree, tasks: int) -> Tree:
    """Independent copies of a tree for `tasks` tasks: `[tasks, ...]`."""
    return tree_map(lambda leaf: leaf.clone(), expanded(tree, tasks))
