"""Write lwmecps_core/context/scales.py: what is usual among clusters of the families, and how far they lie apart."""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba is imported
    os.environ.update(ONE_THREAD)

from pathlib import Path

import numpy as np

from lwmecps_core.context import scales
from lwmecps_core.context.portrait import SOURCES
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.fleets import fleet
from lwmecps_core.training.metric import WATCHED, watched
from lwmecps_core.training.sampling import seeds

SEED, FLEETS, CLUSTERS, WIDTH = 5_000_000, 96, 10, 0.25
LEAST = 0.01
HEAD = '''"""What is usual among clusters of the families, for `portrait`; `scripts/portrait_scales.py` writes it."""

SCALES: tuple[tuple[float, float], ...] = (
    # Mean and standard deviation of each quantity: as a cluster's, or typical, spread, least and most of its parts.
'''


def main() -> None:
    """What v3 doesn't show is measured on v4."""
    v3, v4 = (
        np.concatenate([*watched(_tasks(size, fleets), WATCHED, SEED).values()])
        for size, fleets in ((TaskDistribution(), FLEETS), (TaskDistribution(env_id="lwmecps-v4"), FLEETS // 2))
    )
    rows = [a if np.isfinite(a).any() else b for a, b in zip(v3.T, v4.T, strict=True)]
    found = iter([(float(np.nanmean(x)), max(float(np.nanstd(x)), LEAST)) for x in rows])
    lines = []
    for source in SOURCES:
        pairs = " ".join(f"({mean:.2g}, {std:.2g})," for mean, std in (next(found) for _ in source.pooled))
        lines += [f"    # {source.what}, {source.about}", f"    {pairs}"]
    Path(scales.__file__).write_text(HEAD + "\n".join(lines) + "\n)\n")


def _tasks(size: TaskDistribution, fleets: int) -> list[TaskSpec]:
    return [
        fleet(size, n, WIDTH).task(seed) for n in range(SEED, SEED + fleets) for seed in seeds(n, "fleet", CLUSTERS)
    ]


if __name__ == "__main__":
    main()
