"""Adam or plain descent over a parameter tree, with its state as flat tensors for checkpoints."""

from collections.abc import Mapping
from math import cos, inf, pi

import torch
from torch import Tensor
from torch.optim.adam import adam

from lwmecps_core.algorithms.base import OptimiserName
from lwmecps_core.run_config import ScheduleName
from lwmecps_core.tree import Tree, by_task, expanded, flatten, norm_by_task, tree_map

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8
"""Adam's decays of the mean and of the mean square, and what is added to the root (Kingma & Ba 2015)."""
VECTOR = "vector"
"""Name of the one leaf of a group in a `PackedOptimiser`'s state."""


def scheduled(schedule: ScheduleName, last: float, step: int, total: int) -> float:
    """The share of the learning rate that step `step` of `total` takes, in (0, 1]: all of it until the last `last` of
    the steps, over which it goes down towards 0, to which it would come after the last step.
    """
    left = (total - step) / max(last * total, 1.0)
    if schedule == "constant" or left >= 1.0:
        return 1.0
    return left if schedule == "linear" else 0.5 * (1.0 - cos(pi * left))


class Optimiser:
    """Owns leaf tensors with a leading task axis, steps them by Adam, and clips gradients task by task.

    All methods work leaf by leaf, so that tasks don't touch one another. Bounded Adam moves no weight by more than the
    rate, which Adam does, up to threefold, where gradients grow. `params` are updated in place. `other_rates`
    are the learning rates of groups that have their own. A step takes `rate_share` of all rates: what a schedule says.
    """

    def __init__(
        self,
        params: Tree,
        learning_rate: float,
        max_grad_norm: float,
        other_rates: Mapping[str, float] | None = None,
        method: OptimiserName = "adam",
    ) -> None:
        self.params = tree_map(
            lambda leaf: leaf.detach().clone(memory_format=torch.contiguous_format).requires_grad_(), params
        )
        self._limit = max_grad_norm
        self._rates = {group: learning_rate for group in params} | dict(other_rates or {})
        self._method = method
        self.rate_share = 1.0
        self._moments: dict[tuple[str, str], tuple[Tensor, Tensor, Tensor]] = {}

    def step(self, grads: Tree) -> Tensor:
        """One step against `grads`; returns their norms before clipping, one per task `[K]`.

        What has no gradient stays, and so do its moments: Adam would move it even by a zero gradient.
        """
        norms = norm_by_task(grads)
        scale = None if self._limit == inf else (self._limit / (norms + 1e-6)).clamp_max(1.0)
        for group, names in self.params.items():
            given = grads.get(group, {})
            pulled = [name for name in names if given.get(name) is not None]
            # Fused Adam walks both by the layout of the parameter, whatever that of the gradient is.
            pulls = [given[name].contiguous() for name in pulled]
            if scale is not None and pulls:
                pulls = list(torch._foreach_mul(pulls, [by_task(scale, pull) for pull in pulls]))
            self._descend(group, pulled, pulls)
        return norms

    @torch.no_grad()
    def _descend(self, group: str, pulled: list[str], pulls: list[Tensor]) -> None:
        params = [self.params[group][name] for name in pulled]
        if self._method == "sgd":
            for param, pull in zip(params, pulls, strict=True):
                param.sub_(pull, alpha=self._rates[group] * self.rate_share)
            return
        for name, param in zip(pulled, params, strict=True):
            if (group, name) not in self._moments:
                self._moments[group, name] = torch.zeros(()), torch.zeros_like(param), torch.zeros_like(param)
        moments = [self._moments[group, name] for name in pulled]
        if self._method == "bounded_adam":
            _bounded_adam(params, pulls, moments, self._rates[group] * self.rate_share)
            return
        # The function, not the class: less than half the time, which counts where a step is small.
        adam(
            params,
            pulls,
            [m[1] for m in moments],
            [m[2] for m in moments],
            [],
            [m[0] for m in moments],
            fused=True,
            amsgrad=False,
            beta1=FIRST,
            beta2=SECOND,
            lr=self._rates[group] * self.rate_share,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Parameters and moments, flat; they are the live tensors, not copies."""
        flat = flatten(self.params, "params")
        for group, names in self.params.items():
            for name in names:
                kept = self._moments.get((group, name), ())
                flat |= {f"{key}/{group}/{name}": x for key, x in zip(MOMENTS, kept, strict=False)}
        return {name: leaf.detach() for name, leaf in flat.items()}

    def restore(self, flat: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        for group, names in self.params.items():
            for name, leaf in names.items():
                with torch.no_grad():
                    leaf.copy_(flat[f"params/{group}/{name}"])
                if f"step/{group}/{name}" in flat:
                    step, mean, square = (flat[f"{key}/{group}/{name}"].clone() for key in MOMENTS)
                    self._moments[group, name] = step, mean, square


class PackedOptimiser:
    """Adam for one parameter set whose leaves all have gradients in every step: a few operations for a whole group.

    `params` are live views, outside every graph and without a task axis. A group's leaves have one type.
    """

    def __init__(
        self, params: Tree, learning_rate: float, max_grad_norm: float, other_rates: Mapping[str, float] | None = None
    ) -> None:
        self._packed = Optimiser(_packed(params), learning_rate, max_grad_norm, other_rates)
        self.params: Tree = {}
        for group, names in params.items():
            whole = self._packed.params[group][VECTOR].detach()[0]
            parts = torch.split(whole, [leaf.numel() for leaf in names.values()])
            self.params[group] = {n: part.view(names[n].shape) for n, part in zip(names, parts, strict=True)}

    @property
    def rate_share(self) -> float:
        """The share of all learning rates that a step takes."""
        return self._packed.rate_share

    @rate_share.setter
    def rate_share(self, share: float) -> None:
        self._packed.rate_share = share

    def step(self, grads: Tree) -> Tensor:
        """One step against `grads`, a tree like `params`; returns their norm before clipping, `[1]`."""
        return self._packed.step(_packed(grads))

    def state(self) -> dict[str, Tensor]:
        """Parameters and moments, flat; they are the live tensors, not copies."""
        return self._packed.state()

    def restore(self, flat: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        self._packed.restore(flat)


def _bounded_adam(
    params: list[Tensor], pulls: list[Tensor], moments: list[tuple[Tensor, Tensor, Tensor]], rate: float
) -> None:
    """A step of Adam in place, no weight by more than `rate`."""
    for param, pull, (step, mean, square) in zip(params, pulls, moments, strict=True):
        step.add_(1)
        mean.lerp_(pull, 1 - FIRST)
        square.mul_(SECOND).addcmul_(pull, pull, value=1 - SECOND)
        root = (square / (1 - SECOND**step)).sqrt_().add_(EPSILON)
        param.sub_((mean / (1 - FIRST**step)).div_(root).clamp_(-1.0, 1.0), alpha=rate)


def _packed(tree: Tree) -> Tree:
    return {g: {VECTOR: torch.cat([x.flatten() for x in names.values()]).unsqueeze(0)} for g, names in tree.items()}


def with_task_axis(tree: Tree, tasks: int) -> Tree:
    """Independent copies of a tree for `tasks` tasks: `[tasks, ...]`."""
    return tree_map(lambda leaf: leaf.clone(), expanded(tree, tasks))
