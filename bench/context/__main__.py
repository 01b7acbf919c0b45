"""Run the context benchmark: `python -m bench.context [--families …] [--methods …] [--seeds N] [--tasks N]`."""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported, also by the processes that this one starts
    os.environ.update(ONE_THREAD)

import argparse
from pathlib import Path

from rich.console import Console

from bench.context import report
from bench.context.cells import cells
from bench.context.results import CellOutcome
from bench.context.work import run
from bench.doing import do, read
from lwmecps_core.specs import FAMILIES

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Do what is not done yet, cell by cell, then write the page; 1 when a cell failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.context", description=__doc__)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES, help="only these")
    parser.add_argument("--env-ids", nargs="+", default=(), help="only these versions")
    parser.add_argument("--methods", nargs="+", default=(), help="only these")
    parser.add_argument("--seeds", type=int, help="so many training seeds (default: 5 of v3, 3 of v4)")
    parser.add_argument("--tasks", type=int, default=64, help="held-out tasks of each kind of cluster")
    parser.add_argument("--processes", type=int, default=2, help="cells at a time, each on one thread")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where context.json and context.md go")
    args = parser.parse_args()

    chosen = cells(args.families, args.tasks, args.seeds)
    every = list({cell.key: cell for cell in (*cells(FAMILIES, args.tasks), *chosen)}.values())
    path, console = args.out / "context.json", Console()
    done = read(CellOutcome, path)
    wanted = [
        cell
        for cell in chosen
        if cell.key not in done
        and (not args.methods or cell.method in args.methods)
        and (not args.env_ids or cell.problem.env_id in args.env_ids)
    ]
    console.print(
        f"{sum(cell.key in done for cell in every)} of {len(every)} cells are done; {len(wanted)} to do",
        highlight=False,
    )
    failed = do(wanted, done, run, path, args.processes, console)
    report.write(every, done, args.out)
    console.print(f"context.json and context.md are in {args.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
