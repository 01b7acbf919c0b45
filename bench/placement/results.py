"""The benchmark's result file: a row per family, method, number of inner steps and training seed, with every task's
reward.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.keys import known
from bench.placement import settings as s
from bench.placement.jobs import BenchmarkJob
from bench.placement.run import Cache
from lwmecps_core.config import dump
from lwmecps_core.results import Row
from lwmecps_core.specs import FAMILIES
from lwmecps_core.statistics import summarise

Results = dict[str, Any]
"""What `docs/benchmark.json` holds: `settings`, `seeds`, `failed`, and `rows` (see `_rows`)."""


def collect(jobs: Sequence[BenchmarkJob], cache: Cache, settings: s.Settings, errors: Mapping[str, str]) -> Results:
    """Everything that finished jobs found."""
    return {
        "settings": dump(settings),
        "algorithms": {"many": {k: dump(v) for k, v in s.MANY.items()}, "one": {k: dump(v) for k, v in s.ONE.items()}},
        "seeds": {"evaluation": s.EVALUATION_SEED, "first_held_out_task": s.FIRST_HELD_OUT_SEED},
        "failed": [{"job": job.title, "error": errors[job.key]} for job in jobs if job.key in errors],
        "job_seconds": {job.title: found["took_s"] for job in jobs if (found := cache.result(job))},
        "rows": [row for job in jobs if (found := cache.result(job)) for row in _rows(job, found)],
    }


def added(earlier: Results | None, new: Results) -> Results:
    """`new`, and what an earlier file of the same settings has that was not done again."""
    if earlier is None or any(known(earlier[k]) != known(new[k]) for k in ("settings", "algorithms", "seeds")):
        earlier = {"failed": [], "job_seconds": {}, "rows": []}
    done = {_of(row) for row in new["rows"]}
    rows = [*new["rows"], *(row for row in earlier["rows"] if _of(row) not in done)]
    methods = list(dict.fromkeys(row["method"] for row in (*earlier["rows"], *rows)))
    failed = {f["job"]: f for f in (*earlier["failed"], *new["failed"]) if f["job"] not in new["job_seconds"]}
    return {
        **new,
        "failed": list(failed.values()),
        "job_seconds": earlier["job_seconds"] | new["job_seconds"],
        "rows": sorted(
            rows,
            key=lambda row: (
                FAMILIES.index(row["family"]),
                methods.index(row["method"]),
                row["inner_steps"],
                row["training_seed"],
            ),
        ),
    }


def _of(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["family"], row["method"], row["training_seed"]


def _rows(job: BenchmarkJob, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The demo's columns, and beside them: `family`, `training_seed`, `commit`; `task_rewards` and
    `task_support_rewards`, in the order of tasks; and what training on other tasks took.
    """
    entries = found["entries"]
    rows = [Row(**entry["row"]) for entry in entries]
    made = []
    for summary in summarise(rows):
        at = (summary.method, summary.inner_steps)
        own = [e for e in entries if (e["row"]["method"], e["row"]["inner_steps"]) == at]
        support = [e["support_reward"] for e in own if e["support_reward"] is not None]
        made.append(
            {"family": job.family, "training_seed": job.seed, "commit": found["commit"]}
            | asdict(summary)
            | {
                "training_env_steps": found["env_steps"],
                "training_wall_s": found["wall_s"],
                "task_rewards": [e["row"]["reward"] for e in own],
                "task_support_rewards": support,
            }
        )
    return made
