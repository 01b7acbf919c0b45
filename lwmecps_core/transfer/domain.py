"""Domain-adversarial features: a classifier tells source from target by them, and they learn to hide it.

Source: Ganin et al. 2016, arXiv:1505.07818, section 4.1, equations 4–10 (labels: 0 source, 1 target).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lwmecps_core.algorithms import networks
from lwmecps_core.algorithms.base import Batch, Params
from lwmecps_core.algorithms.returns import weighted_mean
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import AlgorithmConfig, TransferConfig
from lwmecps_core.specs import EnvSpec, TaskDistribution, TaskSpec

GROUP = "domain"
"""The parameter group of the classifier; no policy has it."""


def check_origin(cfg: TransferConfig, origin: Sequence[TaskSpec | TaskDistribution], env_id: str) -> None:
    """Raise `InvalidInput` naming `source_task_ids` when the method needs source tasks and can't use these.

    `env_id` is the environment of the target tasks.
    """
    reason = ""
    if cfg.method == "domain_adaptation" and not origin:
        reason = "domain_adaptation needs source tasks"
    elif others := {task.env_id for task in origin} - {env_id}:
        reason = f"must be of the target's environment {env_id}, not {sorted(others)}"
    if reason:
        raise InvalidInput("transfer", [Violation("source_task_ids", reason)])


def check_features(algorithm: AlgorithmConfig) -> None:
    """Raise `InvalidInput` naming `method` where the features of an observation depend on those before it."""
    if algorithm.context in ("recurrent", "belief"):
        reason = f"domain_adaptation needs features of single observations; with context: {algorithm.context} there"
        reason += " are none"
        raise InvalidInput("settings", [Violation("method", reason)])


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * grads[0], None


def reversed_gradient(x: Tensor, weight: float) -> Tensor:
    """`x` itself, through which a gradient g passes as −`weight`·g (arXiv:1505.07818, equations 17–18)."""
    result: Tensor = _Reversed.apply(x, weight)  # type: ignore[no-untyped-call]
    return result


@dataclass(frozen=True)
class Observed:
    """Observations of one domain: `obs` `[..., S, O]` of environments as `spec` says, of which `weight` `[..., S]`
    count.
    """

    spec: EnvSpec
    obs: Tensor
    weight: Tensor


def feature_group(params: Params) -> str:
    """The group whose features decide what a policy does: the actor, or the critic where there is no actor."""
    return "actor" if "actor" in params else "critic"


def init_classifier(params: Params, spec: EnvSpec, generator: torch.Generator) -> Params:
    """Group `domain`: a logistic regression on the features of a policy for `spec` (arXiv:1505.07818, equation 5)."""
    features = networks.last_hidden(params[feature_group(params)], spec, torch.zeros(1, spec.obs_size))
    return {GROUP: networks.init_linear("out", features.shape[-1], 1, 1.0, generator)}


def domain_loss(params: Params, source: Observed, target: Observed, weight: float) -> Tensor:
    """The classifier's cross-entropy `[...]`, to which both domains contribute half (arXiv:1505.07818, equation 7).

    Its gradient is the classifier's own with respect to group `domain`, and reversed and times `weight` with respect to
    the features' layers (equations 8–10). The domains may differ in size when the policy is a set network.
    """

    def wrong(data: Observed, sign: float) -> Tensor:
        hidden = networks.last_hidden(params[feature_group(params)], data.spec, data.obs)
        logit = networks.linear(params[GROUP], "out", reversed_gradient(hidden, weight)).squeeze(-1)
        return weighted_mean(F.softplus(sign * logit), data.weight)

    return 0.5 * (wrong(source, 1.0) + wrong(target, -1.0))


def sampled(data: Batch, count: int, generator: torch.Generator) -> Batch:
    """`count` samples, drawn uniformly and with replacement, of `[1, S, ...]` fields."""
    index = torch.randint(data["weight"].shape[1], (count,), generator=generator)
    return {name: x.index_select(1, index) for name, x in data.items()}
