"""Reading the result file: rows by family, method and step over training seeds, shares of the gap, and differences
paired over tasks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.placement.estimates import Floats, estimate
from bench.placement.settings import MANY, META_METHODS, TRANSFER_METHODS
from lwmecps_core.statistics import Estimate, share_of_gap

Figures = Mapping[str, Any]
UNTRAINED, ORACLE, STATIC, ALONE = "untrained_ppo", "oracle", "static", "ppo_100_episodes"
CALIBRATED, TUNED = "hpa_calibrated", "hpa_tuned"
RANDOM_WEIGHTS = "random_weights_ppo"
HEADLINE, FRUGAL = "meta_ppo_maml", "meta_ppo_maml_one_episode"
SEEDS = "training_seeds"
"""In the order of rows of `task_rewards`; the file is sorted by it."""
META = tuple(f"meta_{algorithm}_{method}" for algorithm in MANY for method in META_METHODS)
TRANSFERS = tuple(f"transfer_{method}" for method in TRANSFER_METHODS)


class ResultView:
    """The rows of a result file, one for all training seeds of a method after so many steps: means of its figures.

    `task_rewards` and `task_support_rewards` are by training seed and task `[S, T]`; intervals are over both.
    """

    def __init__(self, rows: Sequence[Figures]) -> None:
        groups: dict[tuple[str, str, int], list[Figures]] = {}
        for row in rows:
            groups.setdefault((row["family"], row["method"], row["inner_steps"]), []).append(row)
        self.rows = [_over_seeds(group) for group in groups.values()]

    @property
    def families(self) -> list[str]:
        """In the order of the file."""
        return list(dict.fromkeys(row["family"] for row in self.rows))

    @property
    def methods(self) -> list[str]:
        """In the order of the file."""
        return list(dict.fromkeys(row["method"] for row in self.rows))

    def steps(self, family: str, method: str) -> list[Figures]:
        """A method's rows on a family, after 0, 1, … inner steps (or before and after, where there are no steps)."""
        found = [row for row in self.rows if (row["family"], row["method"]) == (family, method)]
        return sorted(found, key=lambda row: row["inner_steps"])

    def first(self, family: str, method: str) -> Figures | None:
        """Before any step."""
        return next(iter(self.steps(family, method)), None)

    def last(self, family: str, method: str) -> Figures | None:
        """After all steps: what the method comes to."""
        return next(reversed(self.steps(family, method)), None)

    def gap(self, family: str) -> float | None:
        """Reward of the oracle minus that of the untrained policy."""
        low, high = self.first(family, UNTRAINED), self.last(family, ORACLE)
        return high["reward_mean"] - low["reward_mean"] if low and high else None

    def share(self, row: Figures, bottom: str = UNTRAINED) -> float | None:
        """How much of its family's gap a row closes: 0 the method `bottom` (below 0: less than that), 1 the oracle."""
        low, high = self.first(row["family"], bottom), self.last(row["family"], ORACLE)
        if not low or not high or low["reward_mean"] == high["reward_mean"]:
            return None
        return share_of_gap(row["reward_mean"], low["reward_mean"], high["reward_mean"])

    def gain(self, row: Figures) -> Estimate | None:
        """What the row's steps gained on the same method before its first one; None where it took none."""
        first = self.first(row["family"], row["method"])
        return estimate(apart(row, first)) if first and row["inner_steps"] else None

    def gains(self, method: str, families: Sequence[str] = ()) -> Floats:
        """Reward after all steps minus reward before the first, `[S, T]`, tasks of all (or these) families."""
        found = []
        for family in families or self.families:
            first, last = self.first(family, method), self.last(family, method)
            if first and last and last["inner_steps"]:
                found.append(apart(last, first))
        return _beside(found)

    def kept_start(self, method: str) -> float:
        """Share of tasks on which the last row equals the first: the method went back to its start."""
        return float((self.gains(method) == 0).mean())

    def left_alone(self, family: str, method: str) -> NDArray[np.bool_]:
        """Whether each task ended as under `static`, `[S, T]`: the method left it as it was deployed."""
        last, static = self.last(family, method), self.last(family, STATIC)
        if not last or not static:
            return np.zeros((0, 0), bool)
        found: NDArray[np.bool_] = apart(last, static) == 0
        return found

    def acting(self, method: str) -> NDArray[np.bool_]:
        """Of which of `gains` a policy still acts at the end."""
        found = []
        for family in self.families:
            gains, alone = self.gains(method, [family]), self.left_alone(family, method)
            if gains.size:
                found.append(np.zeros(gains.shape) if not alone.size else alone.astype(np.float64))
        return _beside(found) == 0

    def over_static(self, family: str, method: str) -> Estimate | None:
        """What support episodes earned minus what `static` earns, paired over tasks."""
        last, static = self.last(family, method), self.last(family, STATIC)
        if not last or not static or not last["task_support_rewards"].size:
            return None
        return estimate(apart(last, static, "task_support_rewards"))


def apart(a: Figures, b: Figures, of: str = "task_rewards") -> Floats:
    """What `a` earns more than `b`, `[S, T]`, over the training seeds of both; all seeds are held against a method that
    has one only.
    """
    x, y = a[of], b["task_rewards"]
    if min(len(x), len(y)) > 1:
        x, y = (
            v[[seed in other for seed in own]] for v, own, other in ((x, a[SEEDS], b[SEEDS]), (y, b[SEEDS], a[SEEDS]))
        )
    found: Floats = x - y
    return found


def _over_seeds(rows: Sequence[Figures]) -> Figures:
    rewards = np.array([row["task_rewards"] for row in rows])
    support = np.array([row["task_support_rewards"] for row in rows])
    own = estimate(rewards)
    seen = estimate(support) if support.size else None
    return {
        **{k: _mean([row[k] for row in rows]) for k in rows[0]},
        "reward_mean": own.mean,
        "reward_ci95": own.ci95,
        "support_mean": seen.mean if seen else None,
        "support_ci95": seen.ci95 if seen else None,
        SEEDS: [row["training_seed"] for row in rows],
        "task_rewards": rewards,
        "task_support_rewards": support,
    }


def _mean(values: Sequence[Any]) -> Any:
    numbers = all(isinstance(value, int | float) for value in values)
    return sum(values) / len(values) if numbers and len(set(values)) > 1 else values[0]


def _beside(found: Sequence[Floats]) -> Floats:
    """Tasks of all families `[S, T]`, of as many seeds as every family has."""
    if not found:
        return np.zeros((0, 0))
    seeds = min(map(len, found))
    return np.concatenate([each[:seeds] for each in found], axis=1)
