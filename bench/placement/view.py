"""Reading the result file: rows by family, method and step, shares of the gap, and differences paired over tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.placement.settings import MANY, META_METHODS, TRANSFER_METHODS
from lwmecps_core.statistics import Estimate, difference, interval, share_of_gap

Figures = Mapping[str, Any]
UNTRAINED, ORACLE, STATIC, ALONE = "untrained_ppo", "oracle", "static", "ppo_100_episodes"
CALIBRATED, TUNED = "hpa_calibrated", "hpa_tuned"
RANDOM_WEIGHTS = "random_weights_ppo"
HEADLINE, FRUGAL = "meta_ppo_maml", "meta_ppo_maml_one_episode"
META = tuple(f"meta_{algorithm}_{method}" for algorithm in MANY for method in META_METHODS)
TRANSFERS = tuple(f"transfer_{method}" for method in TRANSFER_METHODS)


@dataclass(frozen=True)
class ResultView:
    """The rows of a result file."""

    rows: Sequence[Figures]

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

    def gains(self, method: str, families: Sequence[str] = ()) -> list[float]:
        """Reward after all steps minus reward before the first, task by task, of all (or these) families."""
        found = []
        for family in families or self.families:
            first, last = self.first(family, method), self.last(family, method)
            if first and last and last["inner_steps"]:
                found += difference(last["task_rewards"], first["task_rewards"])
        return found

    def kept_start(self, method: str, families: Sequence[str] = ()) -> float:
        """Share of tasks on which the last row equals the first: the method went back to its start."""
        gains = self.gains(method, families)
        return sum(gain == 0 for gain in gains) / len(gains)

    def left_alone(self, family: str, method: str) -> list[bool]:
        """Whether each task ended as under `static`: the method left it as it was deployed."""
        last, static = self.last(family, method), self.last(family, STATIC)
        if not last or not static:
            return []
        return [a == b for a, b in zip(last["task_rewards"], static["task_rewards"], strict=True)]

    def acting_gains(self, method: str, families: Sequence[str] = ()) -> list[float]:
        """`gains` of the tasks on which a policy still acts at the end."""
        found = []
        for family in families or self.families:
            alone = self.left_alone(family, method)
            gains = self.gains(method, [family])
            found += [g for g, a in zip(gains, alone or [False] * len(gains), strict=True) if not a]
        return found

    def over_static(self, family: str, method: str) -> Estimate | None:
        """What support episodes earned minus what `static` earns, paired over tasks."""
        last, static = self.last(family, method), self.last(family, STATIC)
        if not last or not static or not last["task_support_rewards"]:
            return None
        return interval(difference(last["task_support_rewards"], static["task_rewards"]))
