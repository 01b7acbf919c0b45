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
    start, with half the rates. With `keep_placement`, the start first acts for an episode without chance. Where that
    costs more than `SETBACK` of what the placement earns by itself, the task is left alone from then on. Where all
    support episodes together cost more than that share of one collection, the task rests: no more is tried out there (a
    conservative bandit with an arm that is known: Wu et al. 2016, arXiv:1602.04282). When all steps are made, each task
    keeps what earned most; where trying out was worse than the placement, the start's episode without chance decides
    between these two.
    """

    keep_start: bool
    keep_placement: bool
    shares: list[float]
    """Of the rates that each task's steps take."""
    held: list[bool]
    """Whether the task is left as it was deployed."""
    rests: list[bool]
    """Whether trying out has cost the task too much to go on."""
    cost: list[float]
    """Of all support episodes so far, beside leaving the task alone; counted in collections."""
    of_placement: list[float] = field(default_factory=list)
    of_start: list[float] = field(default_factory=list)
    gain_of_start: list[float] = field(default_factory=list)
    """On the placement, in an episode without chance."""

    @classmethod
    def over(cls, tasks: int, cfg: AdaptConfig) -> "Guard":
        """Before the first support episode of so many tasks."""
        no = [False] * tasks
        keep = cfg.keep_start_if_worse, cfg.keep_placement_if_worse
        return cls(*keep, [1.0] * tasks, held=no, rests=list(no), cost=[0.0] * tasks)

    @property
    def decides(self) -> bool:
        """Whether policies must prove themselves when all steps are made."""
        return self.keep_start or self.keep_placement

    @property
    def resting(self) -> list[bool]:
        """Where no support episodes are played any more."""
        return [held or rests for held, rests in zip(self.held, self.rests, strict=True)]

    def probe(self, rewards: Sequence[float], alone: Sequence[float], share: float) -> None:
        """Take in what the start earned in an episode without chance and what the placement earns in it; an episode is
        `share` of a collection.
        """
        self.gain_of_start = [reward - undisturbed for reward, undisturbed in zip(rewards, alone, strict=True)]
        for k, gain in enumerate(self.gain_of_start):
            self.cost[k] -= share * gain
            self.held[k] |= -gain > SETBACK * abs(alone[k])

    def see(self, rewards: Sequence[float]) -> None:
        """Take in what a collection of support episodes earned."""
        self.of_start = self.of_start or list(rewards)
        resting = self.resting
        for k, alone in enumerate(self.of_placement):
            self.cost[k] += 0.0 if resting[k] else alone - rewards[k]
            self.rests[k] |= self.cost[k] > SETBACK * abs(alone)

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
        back = [self.keep_start and now < before for now, before in zip(rewards, self.of_start, strict=True)]
        best = [max(pair) if self.keep_start else pair[0] for pair in zip(rewards, self.of_start, strict=True)]
        for k, alone in enumerate(self.of_placement):
            if self.rests[k] or alone > best[k]:
                back[k] = True
                self.held[k] |= self.gain_of_start[k] <= 0.0
        return back

    def state(self) -> dict[str, Any]:
        """Everything, as JSON takes it; `Guard(**state)` is the same again."""
        return asdict(self)
