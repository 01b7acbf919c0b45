"""What a belief has to explain: the reward's terms and the load of every interval, past and future."""

from dataclasses import dataclass
from math import log, pi

import torch
import torch.nn.functional as F
from torch import Tensor

from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.algorithms import fast
from lwmecps_core.algorithms.networks import Net, init_linear, split_blocks
from lwmecps_core.algorithms.recurrence import COMMON, told
from lwmecps_core.context.known import BUSY, LOG_RATE, LOSSY, OWN_FAILED, SATURATED, UTILISATION
from lwmecps_core.specs import WRITTEN, EnvSpec, entity_of

CLOCK, RUNNING = (0, 1), (0, 1, 2)
"""Columns of `global` and `deployment`: the time; replicas that are ready, wanted and starting."""
LEAST_BUSY, LEAST_RATE = 0.005, 0.1
"""A share of busy replicas that is added before its logarithm is taken, and how many requests per second are few."""
SCALE = 0.01
"""Rewards of this size count as small: beyond, a logarithm has them."""
LEAST_LOG_SCALE, QUICK = -2.0, 10.0
"""The least logarithm of a spread, so that none of many quantities outweighs all others, and how much quicker than
weights spreads are learnt: until they are small, what is rare or fine isn't worth explaining."""
SERVICE = "told"
"""The head that names service times."""


@dataclass(frozen=True)
class Decoder:
    """p(reward's terms, load | m, what was known and done), normal with a spread of its own for each quantity.

    Given are the time, the replicas that there were, the action, and what the operator wrote; nothing that was
    measured, or a belief would have nothing to explain. Loads are a deployment's own, and the reward's terms see the
    mean over deployments. An environment without deployments has only rewards, given the frame that followed, as
    the paper's grid has.

    Source: Zintgraf et al. 2020, arXiv:1910.08348, section 3; a learnt spread: Rybkin et al. 2021,
    arXiv:2006.13202.
    """

    spec: EnvSpec
    size: int
    width: int
    rows: bool
    names_service: bool = False

    @property
    def deployments(self) -> int:
        """How many there are; 0 where the environment has none."""
        return dict(self.spec.blocks).get("deployment", (0,))[0]

    def init(self, generator: torch.Generator) -> Net:
        """Orthogonal weights, and spreads of 1."""
        obs, action = torch.zeros(1, self.spec.obs_size), torch.zeros(1, self.spec.action_size)
        beside = told(self.spec, torch.ones(1, dtype=torch.bool), torch.zeros(1, len(REWARD_TERMS)), action)
        given, loads = self.given(obs, obs, beside), self.loads(obs)
        net = init_linear("decoder_given", given.shape[-1], self.width, 1.0, generator)
        net["decoder_belief.weight"] = init_linear("m", self.size, self.width, 1.0, generator)["m.weight"]
        net |= init_linear("decoder_mix", self.width, self.width, 1.0, generator)
        net |= init_linear("decoder_terms", self.width, len(REWARD_TERMS), 0.1, generator)
        net["decoder_terms.log_scale"] = torch.zeros(len(REWARD_TERMS))
        if loads.shape[-1]:
            net |= init_linear("decoder_loads", self.width, loads.shape[-1], 0.1, generator)
            net["decoder_loads.log_scale"] = torch.zeros(loads.shape[-1])
        if self.names_service:
            named = 1 if self.rows else self.deployments
            net |= init_linear(SERVICE, self.size, 2 * named, 0.1, generator)
        return net

    def given(self, before: Tensor, after: Tensor, beside: Tensor) -> Tensor:
        """What explains an interval beside the belief: frames `[..., O]` before and after it, and what was told beside
        the latter `[..., E]` → `[..., units, F]`.
        """
        action = beside[..., COMMON:]
        if not self.deployments:
            return torch.cat([after, action], -1).unsqueeze(-2)
        was, now = split_blocks(self.spec, before), split_blocks(self.spec, after)
        common, own = [_columns(now["global"], CLOCK)], [_columns(was["deployment"], RUNNING)]
        for name in (name for name in WRITTEN if name in now):
            (common if entity_of(name) == "global" else own).append(now[name])
        if not self.rows:
            return torch.cat([*common, *(x.flatten(-2) for x in own), action], -1).unsqueeze(-2)
        done = action.reshape(*action.shape[:-1], self.deployments, -1).mean(-1, keepdim=True)
        shared = torch.cat(common, -1).unsqueeze(-2)
        return torch.cat([*own, done, shared.expand(*done.shape[:-1], -1)], -1)

    def loads(self, after: Tensor) -> Tensor:
        """The loads that the frame after an interval shows, `[..., O]` → `[..., units, L]`: log rate, and log busy
        replicas per request and second. The latter is NaN, not seen, where all replicas were busy, or requests failed,
        or hardly any came: it says little about what requests cost there (as `statistics` has it).
        """
        row = (
            split_blocks(self.spec, after)["deployment"]
            if self.deployments
            else after.new_zeros(*after.shape[:-1], 1, 0)
        )
        if row.shape[-1] <= OWN_FAILED:
            return row.new_zeros(*row.shape[:-2], row.shape[-2] if self.rows else 1, 0)
        rate = torch.expm1(row[..., LOG_RATE])
        work = torch.log((row[..., BUSY] + LEAST_BUSY) / rate.clamp_min(LEAST_RATE))
        unclear = (row[..., UTILISATION] >= SATURATED) | (row[..., OWN_FAILED] >= LOSSY) | (rate < LEAST_RATE)
        found = torch.stack([row[..., LOG_RATE], work.masked_fill(unclear, torch.nan)], -1)
        return found if self.rows else found.flatten(-2).unsqueeze(-2)

    def log_likelihood(self, net: Net, m: Tensor, given: Tensor, terms: Tensor, loads: Tensor) -> Tensor:
        """Of S intervals under P beliefs' samples, in nats: `m` `[..., B, P, units, Z]`, `given` `[..., B, S, units,
        F]`, `terms` `[..., B, S, terms]` as they were told, `loads` `[..., B, S, units, L]` → `[..., B, P, S]`.
        """
        of_belief = _product(m, net["decoder_belief.weight"]).unsqueeze(-3)
        hidden = fast.tanh(of_belief + _linear(net, "decoder_given", given).unsqueeze(-4))
        pooled = fast.tanh(_linear(net, "decoder_mix", hidden.mean(-2)))
        found = _normal(net, "decoder_terms", _linear(net, "decoder_terms", pooled), squashed(terms).unsqueeze(-3))
        if not loads.shape[-1]:
            return found
        own = _linear(net, "decoder_loads", hidden)
        return found + _normal(net, "decoder_loads", own, loads.unsqueeze(-4)).sum(-1)

    def log_likelihood_of_service(self, net: Net, m: Tensor, service: Tensor) -> Tensor:
        """Of the logarithms of service times, `[..., B, D]`, under samples `m` `[..., B, P, units, Z]`, in nats:
        `[..., B, P]`.
        """
        mean, log_scale = self.service(net, m)
        wanted = service[..., None, :, None] if self.rows else service[..., None, None, :]
        return _log_normal(wanted, mean, log_scale).sum((-2, -1))

    def service(self, net: Net, m: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the spread of the logarithms of service times, as samples `m` `[..., units, Z]` name
        them: `[..., units, 1]` each, or `[..., 1, D]` from one unit.
        """
        mean, log_scale = _linear(net, SERVICE, m).chunk(2, -1)
        return mean, _spread(log_scale)


def squashed(terms: Tensor) -> Tensor:
    """The reward's terms on a scale on which small and large ones count alike: ± log(1 + |x| / `SCALE`)."""
    return torch.sign(terms) * torch.log1p(terms.abs() / SCALE)


def _columns(block: Tensor, wanted: tuple[int, ...]) -> Tensor:
    """Those columns of a block that it has."""
    return block[..., [i for i in wanted if i < block.shape[-1]]]


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """`x` `[..., any, in]` times `weight` `[..., in, out]`."""
    rows = x.reshape(*x.shape[: weight.dim() - 2], -1, x.shape[-1])
    return (rows @ weight).reshape(*x.shape[:-1], -1)


def _linear(net: Net, name: str, x: Tensor) -> Tensor:
    bias = net[f"{name}.bias"]
    lead = bias.shape[:-1]
    return _product(x, net[f"{name}.weight"]) + bias.reshape(*lead, *[1] * (x.dim() - 1 - len(lead)), -1)


def _normal(net: Net, name: str, mean: Tensor, x: Tensor) -> Tensor:
    """Log-density `[...]` of `x` around `mean` `[..., F]` with the spreads learnt under `name`."""
    log_scale = QUICK * net[f"{name}.log_scale"]
    lead = log_scale.shape[:-1]
    spread = _spread(log_scale.reshape(*lead, *[1] * (mean.dim() - 1 - len(lead)), -1))
    return _log_normal(x, mean, spread).sum(-1)


def _spread(log_scale: Tensor) -> Tensor:
    """Above the least."""
    return LEAST_LOG_SCALE + F.softplus(log_scale - LEAST_LOG_SCALE)


def _log_normal(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-density of each number; 0 where `x` is NaN: nothing was seen."""
    seen = ~torch.isnan(x)
    return seen * (
        -0.5 * ((torch.where(seen, x, 0.0) - mean) * torch.exp(-log_scale)).square() - log_scale - 0.5 * log(2 * pi)
    )
