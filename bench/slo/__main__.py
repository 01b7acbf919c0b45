"""Run the benchmark of objectives with bounds: `python -m bench.slo [--env-ids …] [--methods …] [--seeds N]`."""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported, also by the processes that this one starts
    os.environ.update(ONE_THREAD)

import argparse
from pathlib import Path

from rich.console import Console

from bench.doing import do, read
from bench.slo import report
from bench.slo.cells import HELD_OUT, LEARNT, RULES, SEEDS, cells
from bench.slo.results import SloOutcome
from bench.slo.work import run
from bench.slo.workloads import EVERY_ENV_ID

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Do what is not done yet, cell by cell, then write the page; 1 when a cell failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.slo", description=__doc__)
    parser.add_argument("--env-ids", nargs="+", choices=EVERY_ENV_ID, default=EVERY_ENV_ID, help="only these versions")
    parser.add_argument("--methods", nargs="+", choices=(RULES, *LEARNT), default=(), help="only these")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="so many training seeds")
    parser.add_argument("--tasks", type=int, default=HELD_OUT, help="held-out tasks of each workload")
    parser.add_argument(
        "--training-episodes", type=int, help="in place of the demo's (a shorter trial is another cell)"
    )
    parser.add_argument("--processes", type=int, default=2, help="cells at a time, each on one thread")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where slo.json and slo.md go")
    args = parser.parse_args()

    less = {"total_episodes": args.training_episodes} if args.training_episodes else {}
    every = cells(args.env_ids, args.tasks, args.seeds, **less)
    path, console = args.out / "slo.json", Console()
    done = read(SloOutcome, path)
    wanted = [c for c in every if c.key not in done and (not args.methods or c.method in args.methods)]
    console.print(f"{sum(c.key in done for c in every)} of {len(every)} cells are done; {len(wanted)} to do")
    failed = do(wanted, done, run, path, args.processes, console)
    report.write(every, done, args.out)
    console.print(f"slo.json and slo.md are in {args.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
