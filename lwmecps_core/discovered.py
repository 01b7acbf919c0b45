"""Settings of learning by a learnt update rule, by the names that users know (see `lwmecps_core.algorithms.disco`)."""

from dataclasses import replace
from typing import Annotated, TypeVar

from pydantic import Field

from lwmecps_core.config import Content, Share, config

C = TypeVar("C")


@config
class Discovered:
    """What the rule is, and how an agent learns by it."""

    rule: Annotated[Content, Field(min_length=1, max_length=8_388_608)] | None = None
    """File with the weights of a rule, such as the published Disco103 (`.npz`); a policy that has learnt by it keeps
    them, and lists of runs leave the file out."""
    prediction_size: Annotated[int, Field(ge=1, le=1_024)] = 600
    """Numbers of each prediction that the rule says the meaning of: as many as it has."""
    discount_factor: Share = 0.997
    """Discount per control interval; the published rule was learnt with this one."""
    segment: Annotated[int, Field(ge=1, le=1_000)] = 29
    """Control intervals of a rollout that the rule looks at together."""
    memory_size: Annotated[int, Field(ge=1)] = 30_000
    """Transitions that the replay memory keeps."""
    updates_per_batch: Annotated[int, Field(ge=1)] = 32
    """Updates after each collected batch."""
    batch_size: Annotated[int, Field(ge=1, le=8_192)] = 1_024
    """Transitions per minibatch, in whole segments."""
    model_size: Annotated[int, Field(ge=1, le=1_024)] = 128
    """Units of the step that is made for each choice before it is said what follows."""
    value_bins: Annotated[int, Field(ge=3, le=1_201)] = 601
    """Bins of a value's distribution, one apart and around 0, for about the root of the value: 601 hold ± 58,000, 61
    hold ± 900, at a tenth of the numbers that are said of each choice."""
    n_steps: Annotated[int, Field(ge=0)] = 0
    """Control intervals of every collected rollout (0: whole episodes)."""


def without_file(algorithm: C) -> C:
    """The settings that a policy carries: the file of a rule is no part of them, its weights are in the policy."""
    return replace(algorithm, rule=None) if getattr(algorithm, "rule", None) else algorithm  # type: ignore[type-var]
