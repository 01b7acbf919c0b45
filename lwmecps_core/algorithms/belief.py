"""A belief about what is hidden: a Gaussian that a recurrence makes of everything seen, as pure functions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lwmecps_core.algorithms.networks import Net, init_linear
from lwmecps_core.algorithms.recurrence import Recurrence
from lwmecps_core.specs import EnvSpec

MEAN, LOG_VARIANCE = "belief_mean.weight", "belief_log_variance.weight"
LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -12.0, 4.0


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions: `mean` and `log_variance` `[..., Z]`."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """By standard normal `noise` `[..., Z]` (Kingma and Welling 2014, arXiv:1312.6114, equation 10)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


def divergence(of: Gaussian, beside: Gaussian) -> Tensor:
    """KL(`of` ‖ `beside`) `[...]`, in nats, summed over the last axis (Kingma and Welling 2014, appendix B, for any
    two).
    """
    gap = of.log_variance - beside.log_variance
    far = (of.mean - beside.mean).square() * torch.exp(-beside.log_variance)
    return 0.5 * (torch.exp(gap) + far - 1.0 - gap).sum(-1)


@dataclass(frozen=True)
class BeliefEncoder:
    """q(m | what was seen): `size` numbers for each unit of a recurrence, one for each deployment in set networks.

    Both of its parameters are linear in what the recurrence remembers and have no offset, so that nothing remembered is
    the prior, N(0, 1). The policy sees the mean and the logarithm of the variance as one more block.

    Source: Zintgraf et al. 2020, arXiv:1910.08348, section 3, with a recurrence for each deployment.
    """

    recurrence: Recurrence
    size: int

    @property
    def widened(self) -> EnvSpec:
        """The environment with the belief as its last block."""
        return self.recurrence.widened_by(2 * self.size)

    def init(self, generator: torch.Generator) -> Net:
        """Those of the recurrence, and orthogonal weights: at first means differ and hardly any variance does."""
        net = self.recurrence.init(generator)
        for name, gain in ((MEAN, 1.0), (LOG_VARIANCE, 0.1)):
            net[name] = init_linear("out", self.recurrence.size, self.size, gain, generator)["out.weight"]
        return net

    def of(self, net: Net, state: Tensor) -> Gaussian:
        """What is believed where the recurrence remembers `state` `[..., units, H]`: `[..., units, Z]`."""
        lead = state.shape[: net[MEAN].dim() - 2]
        rows = state.reshape(*lead, -1, state.shape[-1])
        mean, log_variance = ((rows @ net[name]).reshape(*state.shape[:-1], -1) for name in (MEAN, LOG_VARIANCE))
        return Gaussian(mean, log_variance.clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE))

    def shown(self, net: Net, state: Tensor) -> Tensor:
        """What the policy's networks see of it: `[..., units, H]` → `[..., units, 2 · Z]`."""
        found = self.of(net, state)
        return torch.cat([found.mean, found.log_variance], -1)
