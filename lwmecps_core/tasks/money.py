"""What a task's reward weighs, and what running it costs."""

from dataclasses import dataclass

from lwmecps_core.specs import PricesSpec, TaskSpec

HOUR_S = 3600.0


@dataclass(frozen=True)
class Weights:
    """Of the reward's terms: what of an objective the simulator, a real cluster and a policy go by."""

    latency: float
    replicas: float
    imbalance: float
    sla: float
    moves: float


def weights(task: TaskSpec) -> Weights:
    """Those of the objective; with bounds, the prices as shares of what the most replicas cost, and the multipliers.

    With bounds `latency` and `sla` weigh not these but their excess, and all are divided by 1 + the multipliers, so
    that rewards stay of one scale (Stooke et al. 2020, arXiv:2007.03964).
    """
    o = task.objective
    if o.slo is None:
        return Weights(o.latency, o.replicas, o.imbalance, o.sla, o.moves)
    too_slow = o.slo.latency_p95_multiplier if o.slo.latency_p95_ms else 0.0
    too_many = o.slo.failed_share_multiplier if o.slo.failed_share else 0.0
    scale = 1.0 / (1.0 + too_slow + too_many)
    prices = prices_of(task)
    most = sum(d.max_replicas for d in task.deployments) * prices.replica_hour * task.interval_s / HOUR_S
    return Weights(scale * too_slow, scale, 0.0, scale * too_many, scale * prices.move / most)


def prices_of(task: TaskSpec) -> PricesSpec:
    """The task's prices, or the default ones."""
    return task.prices or PricesSpec()


def cost_per_hour(task: TaskSpec, replicas: float, moves: float) -> float:
    """Money per hour of so many replicas, and so many moves in each interval, on average."""
    prices = prices_of(task)
    return prices.replica_hour * replicas + prices.move * moves * HOUR_S / task.interval_s
