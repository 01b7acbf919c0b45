"""Run the benchmark of ways of learning to learn: `python -m bench.learners [--parts …] [--methods …] [--seeds N]`."""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported, also by the processes that this one starts
    os.environ.update(ONE_THREAD)

import argparse
from argparse import Namespace
from pathlib import Path

from rich.console import Console

from bench.context import work as context_work
from bench.context.results import CellOutcome
from bench.doing import do, read
from bench.learners import beliefs, curricula, memories, streams
from bench.learners import cells as starts
from bench.learners.beliefs_results import BeliefOutcome
from bench.learners.results import StartOutcome
from bench.learners.streams import StreamOutcome
from bench.learners.work import run, run_belief, run_stream
from bench.processes import ROOT

CONSOLE = Console()


def main() -> int:
    """Do what is not done yet, cell by cell, then write the page; 1 when a cell failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.learners", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=tuple(PARTS), help="only these")
    parser.add_argument("--methods", nargs="+", choices=curricula.CURRICULA, default=(), help="only these curricula")
    parser.add_argument("--seeds", type=int, default=starts.SEEDS, help="so many training seeds")
    parser.add_argument("--episodes", type=int, default=None, help="rollouts that memories train on, for a trial")
    parser.add_argument("--processes", type=int, default=2, help="cells at a time, each on one thread")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where learners.md and what is done are")
    args = parser.parse_args()
    failed = [PARTS[name](args) for name in args.parts]
    CONSOLE.print(f"learners.md is in {args.out}")
    return 1 if any(failed) else 0


def known_clusters(args: Namespace) -> int:
    """What a known cluster's policy is worth as a start; returns how many cells failed."""
    from bench.learners import report

    chosen, path = starts.cells(args.seeds), args.out / "learners.json"
    every = list({cell.key: cell for cell in (*starts.cells(), *chosen)}.values())
    done = read(StartOutcome, path)
    wanted = [cell for cell in chosen if cell.key not in done]
    CONSOLE.print(f"{sum(c.key in done for c in every)} of {len(every)} cells are done; {len(wanted)} to do")
    failed = do(wanted, done, run, path, args.processes, CONSOLE)
    report.write(every, done, args.out / "learners.md")
    return failed


def training_tasks(args: Namespace) -> int:
    """What curricula are worth; returns how many cells failed. Cells that the context benchmark did count."""
    from bench.learners import curricula_report

    chosen, path = curricula.cells(args.seeds), args.out / "curricula.json"
    every = list({cell.key: cell for cell in (*curricula.cells(), *chosen)}.values())
    done, others = read(CellOutcome, path), read(CellOutcome, args.out / "context.json")
    wanted = [
        c for c in chosen if c.key not in done | others and (not args.methods or curricula.name_of(c) in args.methods)
    ]
    CONSOLE.print(f"{sum(c.key in done | others for c in every)} of {len(every)} are done; {len(wanted)} to do")
    failed = do(wanted, done, context_work.run, path, args.processes, CONSOLE)
    curricula_report.write(every, others | done, args.out / "learners.md")
    return failed


def met_one_by_one(args: Namespace) -> int:
    """What is kept of clusters that are met one after another; returns how many cells failed."""
    from bench.learners import streams_report

    chosen, path = streams.cells(args.seeds), args.out / "streams.json"
    every = list({cell.key: cell for cell in (*streams.cells(), *chosen)}.values())
    done = read(StreamOutcome, path)
    wanted = [cell for cell in chosen if cell.key not in done]
    CONSOLE.print(f"{sum(c.key in done for c in every)} of {len(every)} streams are done; {len(wanted)} to do")
    failed = do(wanted, done, run_stream, path, args.processes, CONSOLE)
    streams_report.write(every, done, args.out / "learners.md")
    return failed


def external_memories(args: Namespace) -> int:
    """What slots are worth beside a learnt memory without; returns how many cells failed."""
    from bench.learners import memories_report

    chosen, path = memories.cells(args.seeds, args.episodes), args.out / "memories.json"
    done, others = read(CellOutcome, path), read(CellOutcome, args.out / "context.json")
    wanted = [c for c in chosen if c.key not in done | others]
    CONSOLE.print(f"{sum(c.key in done | others for c in chosen)} of {len(chosen)} are done; {len(wanted)} to do")
    failed = do(wanted, done, context_work.run, path, args.processes, CONSOLE)
    memories_report.write(chosen, others | done, args.out / "learners.md")
    return failed


def what_is_believed(args: Namespace) -> int:
    """What beliefs are worth; returns how many cells failed. Those to compare with are the context benchmark's."""
    from bench.learners import beliefs_report

    chosen, path = beliefs.cells(args.seeds), args.out / "beliefs.json"
    every = list({cell.key: cell for cell in (*beliefs.cells(), *chosen)}.values())
    done, others = read(BeliefOutcome, path), read(CellOutcome, args.out / "context.json")
    wanted = [c for c in chosen if c.method in beliefs.BELIEFS and c.key not in done]
    CONSOLE.print(f"{sum(c.key in done | others for c in every)} of {len(every)} are done; {len(wanted)} to do")
    failed = do(wanted, done, run_belief, path, args.processes, CONSOLE)
    beliefs_report.write(every, others, done, args.out / "learners.md")
    return failed


PARTS = {
    "nearest": known_clusters,
    "beliefs": what_is_believed,
    "curricula": training_tasks,
    "memories": external_memories,
    "streams": met_one_by_one,
}


if __name__ == "__main__":
    raise SystemExit(main())
