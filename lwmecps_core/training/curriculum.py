"""A curriculum while a policy learns: which tasks it goes on with, what of them it learns from, and their scores."""

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.curricular import Curricular
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.collector import PolicySnapshot
from lwmecps_core.seeding import generator
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.curriculum import MOST_EDITS, CurriculumState, KnownTask, Lineage, Visit, next_tasks, scored
from lwmecps_core.tasks.mutation import edited
from lwmecps_core.training.progress import TaskSource
from lwmecps_core.training.sampling import drawn, numbered, seeds, some_tasks
from lwmecps_core.training.scores import REGRETS, check_regret, regret, value_loss

NOTHING = -1
"""Stands where a lineage ended before."""


def made(
    cfg: Curricular, source: TaskSource, *, width: int, times: int = 1, length: int = 0, seed: int
) -> "Curriculum | None":
    """The curriculum that settings ask for; None where tasks are drawn alike."""
    if cfg.curriculum == "uniform":
        return None
    return Curriculum(cfg, source, width=width, times=times, length=length, seed=seed)


class Curriculum:
    """The tasks of a training's collections, chosen by `tasks.curriculum`; all that changes is in `state`.

    Raises `InvalidInput` for settings that can't work together or with the tasks.
    """

    def __init__(
        self, cfg: Curricular, source: TaskSource, *, width: int, times: int = 1, length: int = 0, seed: int
    ) -> None:
        """For batches of `width` tasks, each of which stays for `times` in a row, and rollouts of `length` intervals
        (0: whole episodes).
        """
        self._cfg, self._source, self._width, self._times, self._seed = cfg, source, width, times, seed
        self._now, given = CurriculumState(), width if isinstance(source, TaskDistribution) else len(source)
        self._least = min(width, given)
        wrong = []
        if cfg.curriculum == "mutate" and not isinstance(source, TaskDistribution):
            wrong.append(Violation("curriculum", "mutate edits tasks of a distribution, not given ones; use replay"))
        if not cfg.learn_from_fresh and cfg.replay_share == 0:
            wrong.append(Violation("replay_share", "must be above 0 where learn_from_fresh is false"))
        if cfg.replay_size < width:
            reason = f"must be at least {width}, the tasks in a batch, or there is nothing to choose from"
            wrong.append(Violation("replay_size", reason))
        if wrong:
            raise InvalidInput("training", wrong)
        if cfg.curriculum_score in REGRETS:
            check_regret(some_tasks(source, 1, seed, 0)[0], length)

    def next(self, step: int) -> tuple[list[TaskSpec], list[bool]]:
        """The tasks of a step, and which of them were no part of the one before."""
        cfg, places = self._cfg, self._now.places
        rng = generator(seeds(self._seed, f"curriculum-{step}", 1)[0])
        turns = [p.turn + (p.stays == 0) for p in places] or [0] * self._width
        numbers = {turn: drawn(self._source, self._width, self._seed, turn) for turn in set(turns)}
        fresh = [(numbers[turn][i],) for i, turn in enumerate(turns)]
        self._now = next_tasks(self._now, fresh, step, self._times, cfg, rng, self._least)
        return [self._task(p.lineage) for p in self._now.places], [p.new for p in self._now.places]

    @property
    def learnt(self) -> list[int]:
        """Which of the tasks of `next` give gradients."""
        return [i for i, place in enumerate(self._now.places) if place.learnt]

    def learn(
        self,
        algo: Algorithm,
        policy: PolicySnapshot,
        tasks: Sequence[TaskSpec],
        batches: Sequence[RolloutBatch],
        step: int,
        noise: torch.Generator,
    ) -> dict[str, float]:
        """Score the tasks whose visits end, by their newest rollouts and the policy that made them; returns metrics."""
        cfg, places = self._cfg, self._now.places
        share = {"curriculum_replayed": sum(p.replayed for p in places) / len(places)}
        ends = [i for i, p in enumerate(places) if not p.stays]
        if not ends:
            return share
        ended, own = [tasks[i] for i in ends], [batches[i] for i in ends]
        if cfg.curriculum_score in REGRETS:
            scores = regret(ended, own, REGRETS[cfg.curriculum_score])
        else:
            scores = value_loss(algo, policy, own, noise)
        lineages = [places[i].lineage for i in ends]
        self._now = scored(self._now, lineages, scores.tolist(), step, cfg.replay_size)
        return share | {"curriculum_score": float(scores.mean())}

    def state(self) -> dict[str, Tensor]:
        """All that changes: lineages `[N, 1 + edits]`, `scores` `[N]` and `steps` `[N]` of known tasks, lineages and
        numbers of places `[W, ...]`.
        """
        known, places = self._now.known, self._now.places
        numbers = [(p.stays, p.new, p.learnt, p.replayed, p.turn) for p in places]
        return {
            "known": _rows([k.lineage for k in known]),
            "scores": torch.tensor([k.score for k in known], dtype=torch.float64),
            "steps": torch.tensor([k.step for k in known], dtype=torch.int64),
            "places": _rows([p.lineage for p in places]),
            "numbers": torch.tensor(numbers, dtype=torch.int64).reshape(len(places), 5),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""
        scores, steps = state["scores"].tolist(), state["steps"].tolist()
        known = tuple(map(KnownTask, _lineages(state["known"]), scores, steps))
        places = tuple(
            Visit(lineage, stays, bool(new), bool(learnt), bool(replayed), turn)
            for lineage, (stays, new, learnt, replayed, turn) in zip(
                _lineages(state["places"]), state["numbers"].tolist(), strict=True
            )
        )
        self._now = CurriculumState(known, places)

    def _task(self, lineage: Lineage) -> TaskSpec:
        return reduce(edited, lineage[1:], numbered(self._source, lineage[0]))


def _rows(lineages: Sequence[Lineage]) -> Tensor:
    rows = np.full((len(lineages), 1 + MOST_EDITS), NOTHING, np.int64)
    for row, lineage in zip(rows, lineages, strict=True):
        row[: len(lineage)] = lineage
    return torch.from_numpy(rows)


def _lineages(rows: Tensor) -> list[Lineage]:
    return [tuple(number for number in row if number != NOTHING) for row in rows.tolist()]
