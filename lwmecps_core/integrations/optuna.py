"""Optuna: a trial is a run, which reports its metric by step and is left paused where it is pruned (extra `optuna`)."""

from collections.abc import Callable
from math import isfinite
from typing import Any, Literal

import optuna

from lwmecps_core.config import parse
from lwmecps_core.errors import RunEnded
from lwmecps_core.integrations.runs import METRIC, RunNews, RunRequest, Runs, completed

RUN_ID = "run_id"
"""The attribute of a trial that names its run."""


def objective(
    runs: Runs,
    ask: Callable[[optuna.Trial], dict[str, Any]],
    metric: str = METRIC,
    pruned: Literal["pause", "cancel"] = "pause",
) -> Callable[[optuna.Trial], float]:
    """What `Study.optimize` takes: `ask(trial)` says what to run (fields of `RunRequest`), the last value counts.

    A run whose trial is pruned, or whose study is interrupted, is paused: `lwmecps resume` lets it go on, and
    `pruned="cancel"` ends it. The trial's attribute `run_id` names it. Steps whose metric is no finite number aren't
    reported: Optuna would prune at once. Raises `RunEnded` when a run fails, or never reports the metric.
    """

    def run_trial(trial: optuna.Trial) -> float:
        run_id = runs.start(parse(RunRequest, ask(trial), "ask(trial)"))
        trial.set_user_attr(RUN_ID, run_id)
        value, news, ended = None, None, False
        try:
            for news in runs.follow(run_id):
                ended = news.ended
                value = _reported(trial, news, metric, value)
                if not ended and trial.should_prune():
                    raise optuna.TrialPruned(f"run {run_id} was pruned at step {news.step}")
        finally:
            if not ended:
                (runs.pause if pruned == "pause" else runs.cancel)(run_id)
        completed(news)
        if value is None:
            raise RunEnded(f"run {run_id} reported no finite {metric}")
        return value

    return run_trial


def _reported(trial: optuna.Trial, news: RunNews, metric: str, value: float | None) -> float | None:
    """Report what is new; the newest value."""
    for step, metrics in sorted(news.metrics.items()):
        if isfinite(new := metrics.get(metric, float("nan"))):
            trial.report(new, step)
            value = new
    return value
