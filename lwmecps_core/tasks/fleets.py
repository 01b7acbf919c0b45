"""Fleets: clusters that are alike, as those of one operator are, drawn narrowly around what a seed says.

The families' ranges say how far tasks may lie apart; a fleet takes a part of each range, so that there are as many
fleets as seeds, and some of them can be kept for measuring only.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import numpy as np

from lwmecps_core.seeding import generator
from lwmecps_core.specs import FAMILIES, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import RANGES, Ranges, draw

WIDTH = 0.5
"""Part of each range that a fleet takes."""
Pattern = Literal["uniform", "burst", "gradual", "diurnal"]
PATTERNS: tuple[Pattern, ...] = ("uniform", "burst", "gradual", "diurnal")
Target = Literal["cpu", "memory", "latency"]
TARGETS: tuple[Target, ...] = ("cpu", "memory", "latency")


@dataclass(frozen=True)
class Fleet:
    """What the tasks of one fleet are drawn from."""

    distribution: TaskDistribution
    ranges: Ranges

    def task(self, seed: int) -> TaskSpec:
        """One of its tasks: a pure function of the fleet and the seed."""
        return draw(self.distribution, seed, self.ranges)


def fleet(size: TaskDistribution, seed: int, width: float = WIDTH) -> Fleet:
    """The fleet that `seed` draws: any of the families, on clusters of the version and size that `size` says."""
    rng = generator(seed)
    family: Any = FAMILIES[int(rng.integers(len(FAMILIES)))]
    pattern, target = PATTERNS[int(rng.integers(len(PATTERNS)))], TARGETS[int(rng.integers(len(TARGETS)))]
    max_pods = int(rng.integers(max(1, size.max_replicas // 2), 2 * size.max_replicas, endpoint=True))
    own: dict[str, dict[str, Any]] = {
        "kubernetes_scaling": {"max_pods": max_pods},
        "load_balancing": {"traffic_pattern": pattern},
        "resource_optimization": {"optimization_target": target},
    }
    return Fleet(replace(size, family=family, **own.get(family, {})), narrowed(RANGES, rng, width))


def narrowed(ranges: Any, rng: np.random.Generator, width: float) -> Any:
    """Every `(low, high)` of a configuration as a part of it, in logarithms where both are above 0; the rest stays."""
    changed: dict[str, Any] = {}
    for field in fields(ranges):
        value = getattr(ranges, field.name)
        if is_dataclass(value):
            changed[field.name] = narrowed(value, rng, width)
        elif isinstance(value, tuple):
            to, back = (np.log, np.exp) if value[0] > 0.0 else (np.asarray, np.asarray)
            low, high = (float(to(x)) for x in value)
            begin = low + (high - low) * (1.0 - width) * rng.random()
            changed[field.name] = tuple(float(back(x)) for x in (begin, begin + (high - low) * width))
    return replace(ranges, **changed)
