"""What an operator wants of a task: weights of a reward, or bounds that must hold at the least cost."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lwmecps_core.config import NonNegative, Positive, Share, config


@config
class PricesSpec:
    """What running a task costs, in money of any one kind."""

    replica_hour: Positive = 1.0
    """Of a replica for an hour, from when it is scheduled on."""
    move: NonNegative = 0.0
    """Of every replica that is created or removed."""
    kwh: NonNegative = 0.0
    """Of a kilowatt-hour that the nodes draw."""


@config
class SloSpec:
    """Bounds that must hold in every window of an episode, whatever else costs money (`PricesSpec`).

    A window misses a bound where its requests do: their failed share is larger, or their 95th percentile of latency
    (the mean over intervals of their own, weighted by requests). At least one of the bounds must be given.
    """

    failed_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Largest share of requests that may fail."""
    latency_p95_ms: Positive | None = None
    """Largest 95th percentile of latency."""
    window: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Control intervals of a window, which begins with every interval; 0, or more than an episode has: the whole
    episode is the one window."""
    scope: Literal["overall", "each"] = "overall"
    """Whether a bound is for all requests together, or for those of each deployment (the worst one counts)."""
    allowed: Share = 0.0
    """Share of the windows that may miss a bound."""
    failed_share_multiplier: NonNegative = 1.0
    """What too many failures cost: per interval whose window misses (and a quarter more per e-fold excess), times what
    the most replicas cost; training with bounds finds it (`TrainConfig`)."""
    latency_p95_multiplier: NonNegative = 1.0
    """The same for too long latencies."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.failed_share is None and self.latency_p95_ms is None:
            raise ValueError("failed_share or latency_p95_ms must be given: there is nothing to keep")
        return self


@config
class ObjectiveSpec:
    """Weights of the reward's terms, and the latency whose cost is the whole weight of latency.

    With `slo` the weights mean nothing: the reward is what running costs, and what it costs to miss the bounds.
    """

    latency: NonNegative = 1.0
    replicas: NonNegative = 0.5
    imbalance: NonNegative = 0.1
    sla: NonNegative = 1.0
    moves: NonNegative = 0.01
    energy: NonNegative = 0.0
    """Of the power that the nodes draw, as a share of the most that they can draw (`NodeSpec.busy_watts`)."""
    target_latency_ms: Positive = 100.0
    slo: SloSpec | None = None


@config
class Constrained:
    """How training finds the multipliers of bounds: a PID controller of how many windows miss them (Stooke et al. 2020,
    arXiv:2007.03964). Means nothing for tasks without bounds.
    """

    multiplier_kp: NonNegative = 1.0
    """Of tasks with bounds: what a multiplier gets at once for the share of windows that miss beyond those allowed."""
    multiplier_ki: NonNegative = 0.1
    """What it gets in every step for that share, and keeps."""
    multiplier_kd: NonNegative = 0.0
    """What it gets at once where that share has grown since the step before."""
    multiplier_spread: Annotated[float, Field(ge=1, le=1000)] = 3.0
    """Tasks are told multipliers that are up to so many times larger or smaller, so that a policy learns what they
    mean."""
    bound_spread: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """Tasks are given bounds that are up to so many times looser or tighter than written, so that one policy serves all
    of them."""
