"""The bound that a belief is learnt by, over prefixes of rollouts that are drawn, not over all of them."""

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Batch
from lwmecps_core.algorithms.belief import BeliefEncoder, Gaussian, divergence
from lwmecps_core.algorithms.decoder import Decoder
from lwmecps_core.algorithms.networks import Net
from lwmecps_core.algorithms.recurrence import COMMON


def elbo(belief: BeliefEncoder, decoder: Decoder, net: Net, batch: Batch) -> dict[str, Tensor]:
    """The parts of the bound, means over the rollouts and prefixes of a batch, in nats per interval, `[...]` each.

    `likelihood`: E_q(m | first t) log p(all T intervals | m), `divergence`: KL(q(m | first t) ‖ q(m | first t − 1)),
    and where the decoder names service times, `told`: E_q log p(these | m), for one interval's worth. All T + 1
    prefixes against T intervals would be quadratic in T: P prefixes and S intervals are drawn from them, which leaves
    the mean what it is.

    `batch` has `obs` `[..., B, T+1, O]`, `told` `[..., B, T+1, E]` and `weight` `[..., B, T]` of rollouts, `state`
    `[..., B, units, H]` from which they begin, `prefix` `[..., B, P]` in 0 to T, the frame after which a belief is
    taken, `interval` `[..., B, S]`, and standard normal `noise` `[..., B, P, units, Z]`; for `told` also `service`
    `[..., B, D]`.

    ELBO_t = likelihood − divergence of prefix t; its mean over t is what is maximised. Source: Zintgraf et al. 2020,
    arXiv:1910.08348, section 3.
    """
    obs, told, weight = batch["obs"], batch["told"], batch["weight"]
    after = belief.recurrence.unrolled(net, obs, told, batch["state"])
    states = torch.cat([batch["state"].unsqueeze(-3), after], -3)
    now, before = (_believed(belief, net, states, batch["prefix"] + ahead) for ahead in (1, 0))
    m = now.sample(batch["noise"])
    at = batch["interval"]
    led_to = _at(obs, at + 1)
    given = decoder.given(_at(obs, at), led_to, _at(told, at + 1))
    terms = _at(told, at + 1)[..., 1:COMMON]
    counted = weight.gather(-1, at).unsqueeze(-2)
    likelihood = (decoder.log_likelihood(net, m, given, terms, decoder.loads(led_to)) * counted).mean((-3, -2, -1))
    apart = divergence(now, before).sum(-1).mean((-2, -1)) / weight.shape[-1]
    found = {"likelihood": likelihood, "divergence": apart}
    if decoder.names_service:
        found["told"] = decoder.log_likelihood_of_service(net, m, batch["service"]).mean((-2, -1))
    return found


def _at(x: Tensor, index: Tensor) -> Tensor:
    """`[..., B, T, F]` at `index` `[..., B, S]`: `[..., B, S, F]`."""
    return x.gather(-2, index.unsqueeze(-1).expand(*index.shape, x.shape[-1]))


def _believed(belief: BeliefEncoder, net: Net, states: Tensor, index: Tensor) -> Gaussian:
    """What is believed at `index` `[..., B, P]` of `states` `[..., B, T+2, units, H]`."""
    found = _at(states.flatten(-2), index)
    return belief.of(net, found.reshape(*found.shape[:-1], *states.shape[-2:]))
