"""Run the benchmark of ways of learning to learn: `python -m bench.learners [--seeds N]`."""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported, also by the processes that this one starts
    os.environ.update(ONE_THREAD)

import argparse
from pathlib import Path

from rich.console import Console

from bench.doing import do, read
from bench.learners.cells import SEEDS, cells
from bench.learners.results import StartOutcome
from bench.learners.work import run
from bench.processes import ROOT


def main() -> int:
    """Do what is not done yet, cell by cell, then write the page; 1 when a cell failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.learners", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="so many training seeds")
    parser.add_argument("--processes", type=int, default=2, help="cells at a time, each on one thread")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where learners.json and learners.md are")
    args = parser.parse_args()

    from bench.learners import report

    chosen, path, console = cells(args.seeds), args.out / "learners.json", Console()
    every = list({cell.key: cell for cell in (*cells(), *chosen)}.values())
    done = read(StartOutcome, path)
    wanted = [cell for cell in chosen if cell.key not in done]
    console.print(f"{sum(c.key in done for c in every)} of {len(every)} cells are done; {len(wanted)} to do")
    failed = do(wanted, done, run, path, args.processes, console)
    report.write(every, done, args.out / "learners.md")
    console.print(f"learners.json and learners.md are in {args.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
