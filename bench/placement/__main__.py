"""Run the placement benchmark: `python -m bench.placement [--families …] [--only …] [--seeds N] [--scale X]`.

What `--out` holds already of the same settings stays there, if it isn't done again.
"""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported, also by the processes that this one starts
    os.environ.update(ONE_THREAD)

import argparse
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.placement import report
from bench.placement.jobs import BenchmarkJob, jobs
from bench.placement.results import collect
from bench.placement.run import Cache, carry_out
from bench.placement.settings import SEEDS, Settings, scaled
from lwmecps_core.specs import FAMILIES

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Do what is not done yet, then write the results; 1 when a job failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.placement", description=__doc__)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES, help="only these")
    parser.add_argument("--only", nargs="+", default=(), metavar="JOB", help="only jobs with these names")
    parser.add_argument("--tasks", type=int, default=Settings().tasks, help="held-out tasks of each family")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="training seeds of PPO on many tasks")
    parser.add_argument("--scale", type=float, default=1.0, help="share of all training that is done (for trials)")
    parser.add_argument("--processes", type=int, default=2, help="jobs at a time, each on one thread")
    parser.add_argument("--cache", type=Path, default=ROOT / "out" / "benchmark", help="where finished jobs are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where benchmark.json and benchmark.md go")
    args = parser.parse_args()

    settings = scaled(replace(Settings(), tasks=args.tasks), args.scale)
    wanted = _chosen(jobs(args.families, settings, args.seeds), args.only)
    console, begun = Console(), time.monotonic()
    ended: list[BenchmarkJob] = []

    def finished(job: BenchmarkJob, error: str) -> None:
        ended.append(job)
        line = f"{len(ended):4d}/{len(wanted)} {time.monotonic() - begun:6.0f} s  {job.title}"
        console.print(f"{line}  [red]{error}[/red]" if error else line, highlight=False)

    cache = Cache(args.cache)
    errors = carry_out(wanted, cache, args.processes, finished)
    report.write(collect(wanted, cache, settings, errors), args.out)
    console.print(f"benchmark.json and benchmark.md are in {args.out}")
    return 1 if errors else 0


def _chosen(found: list[BenchmarkJob], names: list[str]) -> list[BenchmarkJob]:
    """The jobs with these names (all, if none are given) and those that they go on from."""
    if not names:
        return found
    keys = set[str]()
    for job in found:
        link: BenchmarkJob | None = job if job.name in names else None
        while link:
            keys.add(link.key)
            link = link.before
    return [job for job in found if job.key in keys]


if __name__ == "__main__":
    raise SystemExit(main())
