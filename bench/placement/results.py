"""The benchmark's result file: one row per family, method and number of inner steps, with every task's reward."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.placement import settings as s
from bench.placement.jobs import BenchmarkJob
from bench.placement.run import Cache
from lwmecps_core.config import dump
from lwmecps_core.results import Row
from lwmecps_core.statistics import Estimate, interval, paired_difference, summarise

Results = dict[str, Any]
"""What `docs/benchmark.json` holds: `settings`, `seeds`, `failed`, and `rows` (see `_rows`)."""


def collect(jobs: Sequence[BenchmarkJob], cache: Cache, settings: s.Settings, errors: Mapping[str, str]) -> Results:
    """Everything that finished jobs found."""
    rows = [row for job in jobs if (found := cache.result(job)) for row in _rows(found)]
    order = {name: i for i, name in enumerate(dict.fromkeys(row["method"] for row in rows))}
    families = list(dict.fromkeys(job.family for job in jobs))
    rows.sort(key=lambda row: (families.index(row["family"]), order[row["method"]], row["inner_steps"]))
    return {
        "settings": dump(settings),
        "algorithms": {"many": {k: dump(v) for k, v in s.MANY.items()}, "one": {k: dump(v) for k, v in s.ONE.items()}},
        "seeds": {
            "training": s.TRAINING_SEED,
            "evaluation": s.EVALUATION_SEED,
            "first_held_out_task": s.FIRST_HELD_OUT_SEED,
        },
        "failed": [
            {"family": job.family, "job": job.name, "error": errors[job.key]} for job in jobs if job.key in errors
        ],
        "job_seconds": {f"{job.family} {job.name}": found["took_s"] for job in jobs if (found := cache.result(job))},
        "rows": rows,
    }


def _rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The demo's columns, and beside them: `family`; `task_rewards` and `task_support_rewards`, in the order of tasks;
    `gain_*`, the paired difference to the same method after no step; and what training on other tasks took.
    """
    entries = found["entries"]
    rows = [Row(**entry["row"]) for entry in entries]
    made = []
    for summary in summarise(rows):
        at = (summary.method, summary.inner_steps)
        own = [e for e in entries if (e["row"]["method"], e["row"]["inner_steps"]) == at]
        gain = paired_difference(rows, at, (at[0], 0)) if at[1] else None
        support = [e["support_reward"] for e in own if e["support_reward"] is not None]
        made.append(
            {"family": found["family"]}
            | asdict(summary)
            | _named("gain", gain)
            | _named("support", interval(support) if support else None)
            | {
                "training_env_steps": found["env_steps"],
                "training_wall_s": found["wall_s"],
                "task_rewards": [e["row"]["reward"] for e in own],
                "task_support_rewards": support,
            }
        )
    return made


def _named(name: str, value: Estimate | None) -> dict[str, float | None]:
    return {f"{name}_mean": value.mean if value else None, f"{name}_ci95": value.ci95 if value else None}
