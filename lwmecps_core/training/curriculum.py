"""A curriculum while a policy learns: which tasks it goes on with, what of them it learns from, and their scores."""

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.collector import PolicySnapshot
from lwmecps_core.run_config import AlgorithmConfig, TrainConfig, rollout_length
from lwmecps_core.seeding import generator
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.curriculum import MOST_EDITS, CurriculumState, KnownTask, Lineage, Visit, next_tasks, scored
from lwmecps_core.tasks.mutation import edited
from lwmecps_core.training.progress import TaskSource
from lwmecps_core.training.sampling import drawn, numbered, seeds, some_tasks
from lwmecps_core.training.scores import REGRETS, check_regret, regret, value_loss

NOTHING = -1
"""Stands where a lineage ended before."""


class Curriculum:
    """The tasks of a training's collections, chosen by `tasks.curriculum`; all that changes is in `state`.

    Raises `InvalidInput` for settings that can't work together or with the tasks.
    """

    def __init__(self, cfg: TrainConfig, source: TaskSource, algorithm: AlgorithmConfig, seed: int) -> None:
        self._cfg, self._source, self._seed, self._now = cfg, source, seed, CurriculumState()
        wrong = []
        if cfg.independent:
            wrong.append(Violation("curriculum", "is of one policy for changing tasks; independent ones keep theirs"))
        if cfg.curriculum == "mutate" and not isinstance(source, TaskDistribution):
            wrong.append(Violation("curriculum", "mutate edits tasks of a distribution, not given ones; use replay"))
        if not cfg.learn_from_fresh and cfg.replay_share == 0:
            wrong.append(Violation("replay_share", "must be above 0 where learn_from_fresh is false"))
        if cfg.replay_size < cfg.tasks_per_batch:
            reason = f"must be at least tasks_per_batch, {cfg.tasks_per_batch}, or there is nothing to choose from"
            wrong.append(Violation("replay_size", reason))
        if wrong:
            raise InvalidInput("training", wrong)
        given = cfg.tasks_per_batch if isinstance(source, TaskDistribution) else len(source)
        self._least = min(cfg.tasks_per_batch, given)
        if cfg.curriculum_score in REGRETS:
            check_regret(some_tasks(source, 1, seed, 0)[0], rollout_length(algorithm))

    def next(self, step: int) -> tuple[list[TaskSpec], list[bool]]:
        """The tasks of a step, and which of them were no part of the one before."""
        cfg, places = self._cfg, self._now.places
        rng = generator(seeds(self._seed, f"curriculum-{step}", 1)[0])
        turns = [p.turn + (p.stays == 0) for p in places] or [0] * cfg.tasks_per_batch
        numbers = {turn: drawn(self._source, cfg.tasks_per_batch, self._seed, turn) for turn in set(turns)}
        fresh = [(numbers[turn][i],) for i, turn in enumerate(turns)]
        self._now = next_tasks(self._now, fresh, step, cfg.collections_per_task, cfg, rng, self._least)
        return [self._task(p.lineage) for p in self._now.places], [p.new for p in self._now.places]

    def learnt_from(self, batches: Sequence[RolloutBatch]) -> list[RolloutBatch]:
        """Those of the tasks of `next` that give gradients."""
        return [batch for batch, place in zip(batches, self._now.places, strict=True) if place.learnt]

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
