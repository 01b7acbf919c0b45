"""Multipliers of bounds, found while a policy learns: the least cost at which bounds hold, as a descent can seek it.

What is descended is the cost and, times the multipliers, how far bounds are missed; what moves the multipliers is what
the operator signs, the share of windows that miss (a proxy for the one, the true constraint for the other: Cotter et
al. 2019, arXiv:1804.06500).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.objective import Constrained, SloSpec
from lwmecps_core.seeding import generator
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.accounting import missed
from lwmecps_core.training.sampling import seeds

Floats = NDArray[np.float64]
FOUND = "multipliers"
"""What a policy's metadata calls those that its training ended with."""
NAMES = ("failed_share", "latency_p95")
"""Of the bounds, in the order of everything here."""
MOST = 100.0
"""A multiplier beyond which cost plays no part any more."""


class Multipliers:
    """A PID controller for each bound (Stooke et al. 2020, arXiv:2007.03964, algorithm 2), and for each of `sets`
    policies that learn side by side. Each begins with what the first of its tasks says that has this bound, and learns
    from those that have it; `bounds` are all tasks', or a distribution's.
    """

    def __init__(self, cfg: Constrained, bounds: Sequence[SloSpec], sets: int, seed: int) -> None:
        self._cfg, self._seed = cfg, seed
        own = [bounds[k::sets] for k in range(sets)]
        self._given = np.array([[any(_has(slo, i) for slo in some) for i in range(len(NAMES))] for some in own])
        self._integral = np.array([[_first(some, i) for i in range(len(NAMES))] for some in own])
        self._value, self._before = self._integral.copy(), np.full((sets, 2), np.inf)

    def told(self, tasks: Sequence[TaskSpec], step: int | None = None) -> list[TaskSpec]:
        """The tasks with the multipliers of a step, each spread at random, and with bounds spread likewise; without a
        step neither is.
        """
        found = []
        drawn = seeds(self._seed, f"multipliers-{step}", len(tasks)) if step is not None else ()
        for place, task in enumerate(tasks):
            value, slo = self._value[place % len(self._value)], task.objective.slo
            if drawn and slo is not None:
                turns = 2.0 * generator(drawn[place]).random(4) - 1.0
                value = value * self._cfg.multiplier_spread ** turns[:2]
                slo = _spread(slo, self._cfg.bound_spread ** turns[2:])
            found.append(_with(task, slo, value.tolist()))
        return found

    def learn(self, tasks: Sequence[TaskSpec], batches: Sequence[RolloutBatch]) -> dict[str, float]:
        """Move the multipliers by the share of windows that missed; returns them as metrics."""
        sets = len(self._value)
        for k in range(sets):
            own = [(t, b) for place, (t, b) in enumerate(zip(tasks, batches, strict=True)) if place % sets == k]
            for i in range(len(NAMES)):
                bound = [(t, b, slo) for t, b in own if (slo := t.objective.slo) and _has(slo, i)]
                counts = [missed(b, t, b.valid.astype(np.bool_), (i,)) or (0, 0) for t, b, _ in bound]
                bad, windows = np.sum(counts, axis=0) if counts else (0, 0)
                if windows:
                    allowed = float(np.mean([slo.allowed for *_, slo in bound]))
                    self._move(k, i, float(bad / windows) - allowed)
        return {f"multiplier_{name}": self._mean(i) for i, name in enumerate(NAMES) if self._given[:, i].any()}

    def found(self) -> dict[str, Any]:
        """What a policy's metadata says of those whose bounds its tasks had."""
        return {FOUND: {name: self._mean(i) for i, name in enumerate(NAMES) if self._given[:, i].any()}}

    def state(self) -> dict[str, Tensor]:
        """All that changes."""
        return {name: torch.from_numpy(x.copy()) for name, x in self._parts().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""
        for name, x in self._parts().items():
            x[...] = state[name].numpy()

    def _parts(self) -> dict[str, Floats]:
        return {"integral": self._integral, "value": self._value, "before": self._before}

    def _mean(self, i: int) -> float:
        """Over the policies whose tasks have the bound, if there are any."""
        own = self._given[:, i]
        return float(self._value[own if own.any() else ~own, i].mean())

    def _move(self, k: int, i: int, beyond: float) -> None:
        """By a share of windows beyond those allowed."""
        cfg, grown = self._cfg, max(0.0, beyond - self._before[k, i])
        self._integral[k, i] = min(max(self._integral[k, i] + cfg.multiplier_ki * beyond, 0.0), MOST)
        value = self._integral[k, i] + cfg.multiplier_kp * beyond + cfg.multiplier_kd * grown
        self._value[k, i], self._before[k, i] = min(max(value, 0.0), MOST), beyond


def told_by(metadata: Mapping[str, Any], tasks: Sequence[TaskSpec]) -> list[TaskSpec]:
    """The tasks with the multipliers that a policy's training ended with; as they are, where it had none."""
    known = metadata.get(FOUND) or {}
    return [_with(task, task.objective.slo, [known.get(name) for name in NAMES]) for task in tasks]


def _has(slo: SloSpec, i: int) -> bool:
    return (slo.failed_share, slo.latency_p95_ms)[i] is not None


def _first(bounds: Sequence[SloSpec], i: int) -> float:
    slo = next((slo for slo in bounds if _has(slo, i)), bounds[0])
    return (slo.failed_share_multiplier, slo.latency_p95_multiplier)[i]


def _with(task: TaskSpec, slo: SloSpec | None, value: Sequence[float | None]) -> TaskSpec:
    """With multipliers of the bounds that it has, other than None."""
    if slo is None:
        return task
    found = [(f"{name}_multiplier", x) for i, (name, x) in enumerate(zip(NAMES, value, strict=True)) if _has(slo, i)]
    told: dict[str, Any] = {name: x for name, x in found if x is not None}
    slo = replace(slo, **told)
    return replace(task, objective=replace(task.objective, slo=slo))


def _spread(slo: SloSpec, factors: Floats) -> SloSpec:
    failed, p95 = factors.tolist()
    return replace(
        slo,
        failed_share=min(1.0, slo.failed_share * failed) if slo.failed_share else None,
        latency_p95_ms=slo.latency_p95_ms * p95 if slo.latency_p95_ms else None,
    )
