"""Sinusoids from points (Finn et al. 2017, arXiv:1703.03400, section 5.1): the problem that optimisers are learnt on,
and that meta-learners are validated on.
"""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Batch, Extra, Params
from lwmecps_core.algorithms.networks import linear
from lwmecps_core.algorithms.returns import weighted_mean

HIDDEN = 40


class SquaredError:
    """Mean squared error of an MLP 1-40-40-1 of rectified linear units: what of an `Algorithm` meta-learners need."""

    inner_groups = ("net",)

    def init(self, generator: torch.Generator) -> Params:
        """Weights and biases uniform within 1/√(inputs), without a task axis."""
        net: dict[str, Tensor] = {}
        for name, n_in, n_out in (("hidden0", 1, HIDDEN), ("hidden1", HIDDEN, HIDDEN), ("out", HIDDEN, 1)):
            for part, shape in (("weight", (n_in, n_out)), ("bias", (n_out,))):
                net[f"{name}.{part}"] = torch.empty(shape).uniform_(-1, 1, generator=generator) / sqrt(n_in)
        return {"net": net}

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """`x`, `y` `[..., S, 1]` and `weight` `[..., S]` → one loss `[...]`."""
        x = torch.relu(linear(params["net"], "hidden0", batch["x"]))
        x = torch.relu(linear(params["net"], "hidden1", x))
        error = linear(params["net"], "out", x) - batch["y"]
        return {"net": weighted_mean(error.square().squeeze(-1), batch["weight"])}


@dataclass(frozen=True)
class Waves:
    """K sinusoids: `amplitude` in [0.1, 5], `phase` in [0, π], `[K, 1, 1]` each."""

    amplitude: Tensor
    phase: Tensor

    @classmethod
    def draw(cls, tasks: int, generator: torch.Generator) -> "Waves":
        """New tasks."""
        amplitude, phase = torch.rand(2, tasks, 1, 1, generator=generator)
        return cls(0.1 + 4.9 * amplitude, pi * phase)

    def points(self, count: int, generator: torch.Generator) -> Batch:
        """`count` points of every task at x in [-5, 5]."""
        x = 10 * torch.rand(len(self.phase), count, 1, generator=generator) - 5
        return {"x": x, "y": self.amplitude * torch.sin(x - self.phase), "weight": torch.ones(x.shape[:-1])}
