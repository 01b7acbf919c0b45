"""The progress bar of a run in this process."""

import sys
from typing import Any

from tqdm import tqdm

from lwmecps_core.training.progress import Progress

NEWEST = ("total_reward", "test_avg_reward", "meta_loss")
"""Metrics that stand behind the bar, where a step has them."""


class StepBar:
    """A bar on standard error; a context manager. `shown` None: on a terminal and in a notebook."""

    def __init__(self, label: str, shown: bool | None) -> None:
        visible = (sys.stderr.isatty() or "ipykernel" in sys.modules) if shown is None else shown
        self._bar: Any = tqdm(desc=label, unit="step", disable=not visible)

    def __enter__(self) -> "StepBar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, progress: Progress) -> None:
        """Say where the run is."""
        self._bar.total = progress.total
        newest = {name: f"{progress.metrics[name]:.4g}" for name in NEWEST if name in progress.metrics}
        self._bar.set_postfix(newest, refresh=False)
        self._bar.update(progress.step - self._bar.n)
