"""What adaptation may cost the clusters that it happens on, and what is kept when it ends."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lwmecps_core.run_config import AdaptConfig

SETBACK = 0.2
"""Share of what the start's support episodes earned that a step may lose before it is undone, and of what a placement
earns by itself that adaptation may cost in all: smaller losses are mostly chance (found on tasks that no result is
reported on)."""


@dataclass
class Guard:
    """One entry per task: rewards of support episodes, and what follows from them.

    With `keep_start`, a task whose support episodes earn less than the start's by more than `SETBACK` goes on from the
    start, with half the rates. With `keep_placement`, a task is left alone from the moment on when its first episode
    has cost more than `SETBACK` of what its placement earns by itself, or all support episodes together more than that
    share of one collection (a conservative bandit with an arm that is known: Wu et al. 2016, arXiv:1602.04282). When
    all steps are made, each task keeps what earned most.
    """

    keep_start: bool
    keep_placement: bool
    shares: list[float]
    """Of the rates that each task's steps take."""
    held: list[bool]
    """Whether the task is left as it was deployed."""
    cost: list[float]
    """Of all support episodes so far, beside leaving the task alone; counted in collections."""
    of_placement: list[float] = field(default_factory=list)
    of_start: list[float] = field(default_factory=list)

    @classmethod
    def over(cls, tasks: int, cfg: AdaptConfig) -> "Guard":
        """Before the first support episode of so many tasks."""
        return cls(cfg.keep_start_if_worse, cfg.keep_placement_if_worse, [1.0] * tasks, [False] * tasks, [0.0] * tasks)

    @property
    def decides(self) -> bool:
        """Whether policies must prove themselves when all steps are made."""
        return self.keep_start or self.keep_placement

    def probe(self, rewards: Sequence[float], alone: Sequence[float], share: float) -> None:
        """Take in what the start's very first episode earned and what the placement earns in it; an episode is `share`
        of a collection.
        """
        for k, (reward, undisturbed) in enumerate(zip(rewards, alone, strict=True)):
            self.cost[k] += share * (undisturbed - reward)
            self.held[k] |= undisturbed - reward > SETBACK * abs(undisturbed)

    def see(self, rewards: Sequence[float]) -> None:
        """Take in what a collection of support episodes earned."""
        self.of_start = self.of_start or list(rewards)
        for k, alone in enumerate(self.of_placement):
            self.cost[k] += 0.0 if self.held[k] else alone - rewards[k]
            self.held[k] |= self.cost[k] > SETBACK * abs(alone)

    def undo(self, rewards: Sequence[float]) -> list[bool]:
        """Which tasks go back to the start, by what their newest support episodes earned; their rates are halved."""
        fell = [
            self.keep_start and now < before - SETBACK * abs(before)
            for now, before in zip(rewards, self.of_start, strict=True)
        ]
        self.shares = [share / 2 if down else share for share, down in zip(self.shares, fell, strict=True)]
        return fell

    def decide(self, rewards: Sequence[float]) -> list[bool]:
        """Which tasks go back to the start for good, by what adapted policies earned on its support episodes."""
        best = [max(pair) if self.keep_start else pair[0] for pair in zip(rewards, self.of_start, strict=True)]
        for k, alone in enumerate(self.of_placement):
            self.held[k] |= alone > best[k]
        return [self.keep_start and now < before for now, before in zip(rewards, self.of_start, strict=True)]

    def state(self) -> dict[str, Any]:
        """Everything, as JSON takes it; `Guard(**state)` is the same again."""
        return asdict(self)
