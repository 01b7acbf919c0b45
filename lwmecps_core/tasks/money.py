"""What a task's reward weighs, and what running it costs."""

from dataclasses import dataclass

from lwmecps_core.specs import PricesSpec, TaskSpec

HOUR_S = 3600.0
WATTS_PER_KW = 1000.0


@dataclass(frozen=True)
class Weights:
    """Of the reward's terms: what of an objective the simulator, a real cluster and a policy go by."""

    latency: float
    replicas: float
    imbalance: float
    sla: float
    moves: float
    energy: float


def weights(task: TaskSpec) -> Weights:
    """Those of the objective; with bounds, the prices as shares of what the most replicas cost, and the multipliers.

    With bounds `latency` and `sla` weigh not these but their excess, and all are divided by 1 + the multipliers, so
    that rewards stay of one scale (Stooke et al. 2020, arXiv:2007.03964).
    """
    o = task.objective
    if o.slo is None:
        return Weights(o.latency, o.replicas, o.imbalance, o.sla, o.moves, o.energy)
    too_slow = o.slo.latency_p95_multiplier if o.slo.latency_p95_ms else 0.0
    too_many = o.slo.failed_share_multiplier if o.slo.failed_share else 0.0
    scale = 1.0 / (1.0 + too_slow + too_many)
    prices = prices_of(task)
    most = sum(d.max_replicas for d in task.deployments) * prices.replica_hour * task.interval_s / HOUR_S
    energy = scale * prices.kwh * most_watts(task) / WATTS_PER_KW * task.interval_s / HOUR_S / most
    return Weights(scale * too_slow, scale, 0.0, scale * too_many, scale * prices.move / most, energy)


def prices_of(task: TaskSpec) -> PricesSpec:
    """The task's prices, or the default ones."""
    return task.prices or PricesSpec()


def has_expense(task: TaskSpec) -> bool:
    """Whether nodes have prices of their own, or power."""
    return any(node.replica_hour is not None or node.busy_watts > 0.0 for node in task.cluster.nodes)


def price_shares(task: TaskSpec) -> tuple[float, ...]:
    """The price of a replica on each node, as a share of the task's."""
    usual = prices_of(task).replica_hour
    return tuple(1.0 if node.replica_hour is None else node.replica_hour / usual for node in task.cluster.nodes)


def most_priced(task: TaskSpec) -> float:
    """All replicas that there can be, as if all were on the dearest node: in replicas at the task's price."""
    return sum(d.max_replicas for d in task.deployments) * max(price_shares(task))


def most_watts(task: TaskSpec) -> float:
    """The power that all nodes draw together with all of their CPU in use."""
    return sum(node.busy_watts for node in task.cluster.nodes)


def cost_per_hour(task: TaskSpec, replicas: float, moves: float, watts: float = 0.0) -> float:
    """Money per hour of so many replicas at the task's price, so many moves in each interval, and so much power, on
    average.
    """
    prices = prices_of(task)
    energy = prices.kwh * watts / WATTS_PER_KW
    return prices.replica_hour * replicas + prices.move * moves * HOUR_S / task.interval_s + energy
