"""Run the benchmarks: `python -m bench [--only NAME]… [--out FILE]`."""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported: every figure here is for one core
    os.environ.update(ONE_THREAD)

import argparse
import importlib
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import report
from bench.cases import SEED

BENCHMARKS = (
    "simulator_batch",
    "simulator_single",
    "simulator_scaling",
    "gym_single",
    "vec_env",
    "worker",
    "worker_context",
    "train",
    "train_recurrent",
    "worker_memory",
    "rollout_path",
    "tracing",
    "step_unary",
    "step_stream",
    "create_run",
    "keda_metrics",
    "infer_memory",
    "inner_loop",
    "meta_speed",
    "meta_loop",
    "meta_first_order",
    "meta_memory",
    "sb3_vec_env",
    "startup",
)
DEFAULT_OUT = Path(__file__).resolve().parent / "results" / "latest.json"


def main() -> int:
    """Run, print the table, write the results; 0 also where a floor is missed, which the table says."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="run this one (may be repeated)")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="where to write the results")
    args = parser.parse_args()
    torch.set_num_threads(1)

    # A terminal has its own width; a log file is given room for whole lines.
    console = Console() if sys.stdout.isatty() else Console(width=170)
    rows: list[report.BenchRow] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for name in args.only or BENCHMARKS:
            task = progress.add_task(name, total=1)
            rows.append(importlib.import_module(f"bench.{name}").run())
            progress.advance(task)
    console.print(report.table(rows))
    report.write(rows, {"bench": SEED}, args.out)
    console.print(f"written to {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
