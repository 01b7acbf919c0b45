"""What result rows say: means over tasks with intervals, differences paired over tasks, and shares of a gap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lwmecps_core.results import POWER, SIGNED, Row

Key = tuple[str, int] | tuple[str, int, int]
"""Method, inner steps, and perhaps the episode on the cluster."""


@dataclass(frozen=True)
class Estimate:
    """A mean over tasks and the half-width of its 95 % interval (Student's t)."""

    mean: float
    ci95: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return abs(self.mean) > self.ci95


@dataclass(frozen=True)
class Summary:
    """A method after a number of inner steps in an episode on the cluster, over all held-out tasks.

    `reward_*` is per episode; `env_steps` is the data that the method used per task; `wall_s` its time per task;
    `support_reward_mean` what the episodes before earned (None where there were none, or a task doesn't say). The last
    fields are means of the rows' (`results.SIGNED`, `POWER`), None where a task doesn't have them.
    """

    method: str
    inner_steps: int
    reward_mean: float
    reward_ci95: float
    latency_mean_ms: float
    latency_p95_ms: float
    replicas_mean: float
    sla_miss_share: float
    moves_mean: float
    load_correlation: float
    env_steps: int
    wall_s: float
    episode: int
    support_reward_mean: float | None
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


@dataclass(frozen=True)
class Compared:
    """A mean over training seeds and tasks, the bounds of its 95 % interval, and how likely chance alone is to bring it
    so far from zero (two-sided).
    """

    mean: float
    low: float
    high: float
    p: float


class Bootstrap:
    """Means over training seeds and tasks, as they could have come out: both are drawn again, with replacement.

    Every method's draws meet the same tasks, and the same seeds where methods have equally many, so that differences
    are paired. Source: the pigeonhole bootstrap of Owen 2007, Annals of Applied Statistics 1, 386–411.
    """

    def __init__(self, tasks: int, draws: int = 10_000, seed: int = 0) -> None:
        self._seed, self._draws = seed, draws
        self._tasks = self._counts(tasks, "tasks")

    def means(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """`[S, T]`, by training seed and task → the mean of each draw `[draws]`."""
        seeds = self._counts(len(rewards), "seeds")
        found: NDArray[np.float64] = ((seeds @ rewards) * self._tasks).sum(1) / rewards.size
        return found

    def tails(self, rewards: NDArray[np.float64], share: float = 0.1) -> NDArray[np.float64]:
        """`[S, T]`, by training seed and task → of each draw `[draws]`, what `worst` is on average over seeds."""
        seeds, order = self._counts(len(rewards), "seeds"), rewards.argsort(1)
        found = np.stack([_lowest(r[o], self._tasks[:, o], share) for r, o in zip(rewards, order, strict=True)], axis=1)
        of_draws: NDArray[np.float64] = (seeds * found).sum(1) / len(rewards)
        return of_draws

    def compared(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> Compared:
        """`a` minus `b`, `[S, T]` each."""
        return self._apart(float(a.mean() - b.mean()), self.means(a) - self.means(b))

    def compared_tails(self, a: NDArray[np.float64], b: NDArray[np.float64], share: float = 0.1) -> Compared:
        """`worst` of `a` minus that of `b`, `[S, T]` each, on average over seeds."""
        apart = float(worst(a, share).mean() - worst(b, share).mean())
        return self._apart(apart, self.tails(a, share) - self.tails(b, share))

    def _apart(self, mean: float, draws: NDArray[np.float64]) -> Compared:
        low, high = np.quantile(draws, (0.025, 0.975))
        beyond = min((draws <= 0).mean(), (draws >= 0).mean()) + 1 / self._draws
        return Compared(mean, float(low), float(high), float(min(1.0, 2 * beyond)))

    def _counts(self, size: int, of: str) -> NDArray[np.float64]:
        """How often each of `size` things is in a draw: `[draws, size]`."""
        rng = np.random.default_rng((self._seed, size, *of.encode()))
        return rng.multinomial(size, np.full(size, 1 / size), self._draws).astype(np.float64)


def worst(rewards: NDArray[np.float64], share: float = 0.1) -> NDArray[np.float64]:
    """The mean of the lowest `share` of rewards `[..., T]`: `[...]`; what is cut counts in part.

    It is the conditional value at risk of a task drawn at random. Source: Rockafellar and Uryasev 2002, Journal of
    Banking and Finance 26, 1443–1471, proposition 8.
    """
    found: NDArray[np.float64] = _lowest(np.sort(rewards, axis=-1), np.ones(rewards.shape[-1]), share)
    return found


def _lowest(rising: NDArray[np.float64], counts: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """The mean of the lowest `share` of values that rise `[..., T]` and are there so many times each `[..., T]`."""
    most = share * counts.sum(-1, keepdims=True)
    before = np.cumsum(counts, axis=-1) - counts
    found: NDArray[np.float64] = (np.clip(most - before, 0.0, counts) * rising).sum(-1) / most[..., 0]
    return found


def holm(chances: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of several comparisons are significant together.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65–70.
    """
    order = sorted(range(len(chances)), key=chances.__getitem__)
    found = [False] * len(chances)
    for i, k in enumerate(order):
        if chances[k] > level / (len(chances) - i):
            break
        found[k] = True
    return found


def interval(values: ArrayLike) -> Estimate:
    """Mean (NaN of no values) and 95 % half-width of independent values (infinite for fewer than two)."""
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        return Estimate(float(x[0]) if x.size else float("nan"), float("inf"))
    from scipy.special import stdtrit  # here: half a second of every command that only lists

    half = stdtrit(x.size - 1, 0.975) * x.std(ddof=1) / np.sqrt(x.size)
    return Estimate(float(x.mean()), float(half))


def difference(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """`a` minus `b`, task by task."""
    return [x - y for x, y in zip(a, b, strict=True)]


def share_of_gap(reward: float, low: float, high: float) -> float:
    """How much of the way from `low` (0) to `high` (1) a reward is."""
    return (reward - low) / (high - low)


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """One summary per method, number of inner steps and episode, in order of first appearance."""
    groups: dict[tuple[str, int, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.inner_steps, row.episode), []).append(row)
    return [_summary(group) for group in groups.values()]


def paired_difference(rows: Sequence[Row], method: Key, other: Key) -> Estimate:
    """Reward of `method` minus that of `other`, over the tasks that both have."""
    a, b = _rewards(rows, *method), _rewards(rows, *other)
    both = [task for task in a if task in b]
    return interval(difference([a[task] for task in both], [b[task] for task in both]))


def _summary(group: Sequence[Row]) -> Summary:
    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in group]))

    def mean_of_all(name: str) -> float | None:
        found = [getattr(row, name) for row in group if getattr(row, name) is not None]
        return float(np.mean(found)) if len(found) == len(group) else None

    reward = interval([row.reward for row in group])
    return Summary(
        method=group[0].method,
        inner_steps=group[0].inner_steps,
        reward_mean=reward.mean,
        reward_ci95=reward.ci95,
        latency_mean_ms=mean("latency_mean_ms"),
        latency_p95_ms=mean("latency_p95_ms"),
        replicas_mean=mean("replicas_mean"),
        sla_miss_share=mean("sla_miss_share"),
        moves_mean=mean("moves_mean"),
        load_correlation=mean("load_correlation"),
        env_steps=round(mean("env_steps")),
        wall_s=mean("wall_s"),
        episode=group[0].episode,
        support_reward_mean=mean_of_all("support_reward_mean"),
        **{name: mean_of_all(name) for name in (*SIGNED, *POWER)},
    )


def _rewards(rows: Sequence[Row], method: str, steps: int, episode: int | None = None) -> dict[str, float]:
    return {
        row.task: row.reward
        for row in rows
        if (row.method, row.inner_steps) == (method, steps) and episode in (None, row.episode)
    }
