"""What is measured of a method; free of tensors, so that those who only pass it on need no PyTorch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """How one method did on one held-out task.

    Rewards are per episode (sum over intervals); latencies in ms; `load_correlation` is of total replicas with total
    users over time; `env_steps` is the environment data that the method used on this task before it was measured.
    `inner_steps` came before that; in continual runs it is how many clusters were met. `episode` is which one on the
    cluster, from 1; `support_reward_mean` what those before it earned on average (None: there were none, or nobody
    noted it).

    `cost_per_hour` is money for replicas, moves and energy, `violation_share` that of the windows which missed a bound,
    `decision_us` the time of a decision for one cluster in µs, its first ones included, `power_w` what nodes drew in
    watts. `…_steady` are the same without the first sixth of each episode, and of decisions the median. None: the task
    has no prices, no bounds, no power, its episodes end before they are steady, or nobody measured it.
    """

    task: str
    method: str
    inner_steps: int
    reward: float
    latency_mean_ms: float
    latency_p95_ms: float
    replicas_mean: float
    sla_miss_share: float
    moves_mean: float
    load_correlation: float
    env_steps: int = 0
    wall_s: float = 0.0
    episode: int = 1
    support_reward_mean: float | None = None
    cost_per_hour: float | None = None
    cost_per_hour_steady: float | None = None
    violation_share: float | None = None
    violation_share_steady: float | None = None
    moves_per_hour: float | None = None
    moves_per_hour_steady: float | None = None
    decision_us: float | None = None
    decision_us_steady: float | None = None
    power_w: float | None = None
    power_w_steady: float | None = None


SIGNED = (
    "cost_per_hour",
    "cost_per_hour_steady",
    "violation_share",
    "violation_share_steady",
    "moves_per_hour",
    "moves_per_hour_steady",
    "decision_us",
    "decision_us_steady",
)
"""The fields of a row that an operator who signs bounds asks for."""
POWER = ("power_w", "power_w_steady")
"""Those of tasks whose nodes have power."""
