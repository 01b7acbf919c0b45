"""Run the benchmark of ways of learning to learn: `python -m bench.learners [--parts …] [--methods …] [--seeds N]`."""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported, also by the processes that this one starts
    os.environ.update(ONE_THREAD)

import argparse
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console

from bench.context import work as context_work
from bench.context.results import CellOutcome
from bench.doing import do, read
from bench.learners import beliefs, curricula, memories, populations, proposals, rules, streams
from bench.learners import cells as starts
from bench.learners.beliefs_results import BeliefOutcome
from bench.learners.results import StartOutcome
from bench.learners.streams import StreamOutcome
from bench.learners.work import run, run_belief, run_population, run_rule, run_stream, run_trial
from bench.processes import ROOT

CONSOLE = Console()


def main() -> int:
    """Do what is not done yet, cell by cell, then write the page; 1 when a cell failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.learners", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="only these")
    parser.add_argument("--methods", nargs="+", choices=curricula.CURRICULA, default=(), help="only these curricula")
    parser.add_argument("--seeds", type=int, default=starts.SEEDS, help="so many training seeds")
    parser.add_argument("--episodes", type=int, default=None, help="rollouts that memories and rules train on")
    parser.add_argument("--trials", type=int, default=proposals.TRIALS, help="settings tried on each family")
    parser.add_argument("--processes", type=int, default=2, help="cells at a time, each on one thread")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where learners.md and what is done are")
    args = parser.parse_args()
    failed = [PARTS[name](args) for name in args.parts]
    CONSOLE.print(f"learners.md is in {args.out}")
    return 1 if any(failed) else 0


def known_clusters(args: Namespace) -> int:
    """What a known cluster's policy is worth as a start; returns how many cells failed."""
    from bench.learners import report

    chosen = starts.cells(args.seeds)
    done, failed = _carried_out(args, "learners.json", StartOutcome, run, chosen)
    report.write(_every(starts.cells(), chosen), done, args.out / "learners.md")
    return failed


def training_tasks(args: Namespace) -> int:
    """What curricula are worth; returns how many cells failed. Cells that the context benchmark did count."""
    from bench.learners import curricula_report

    chosen, others = curricula.cells(args.seeds), read(CellOutcome, args.out / "context.json")
    asked = [c for c in chosen if not args.methods or curricula.name_of(c) in args.methods]
    done, failed = _carried_out(args, "curricula.json", CellOutcome, context_work.run, asked, others)
    curricula_report.write(_every(curricula.cells(), chosen), others | done, args.out / "learners.md")
    return failed


def met_one_by_one(args: Namespace) -> int:
    """What is kept of clusters that are met one after another; returns how many cells failed."""
    from bench.learners import streams_report

    chosen = streams.cells(args.seeds)
    done, failed = _carried_out(args, "streams.json", StreamOutcome, run_stream, chosen)
    streams_report.write(_every(streams.cells(), chosen), done, args.out / "learners.md")
    return failed


def external_memories(args: Namespace) -> int:
    """What slots are worth beside a learnt memory without; returns how many cells failed."""
    from bench.learners import memories_report

    chosen, others = memories.cells(args.seeds, args.episodes), read(CellOutcome, args.out / "context.json")
    done, failed = _carried_out(args, "memories.json", CellOutcome, context_work.run, chosen, others)
    memories_report.write(chosen, others | done, args.out / "learners.md")
    return failed


def learnt_rules(args: Namespace) -> int:
    """What a learnt update rule is worth beside PPO; returns how many cells failed."""
    named = os.environ.get(rules.FILE)
    if not named:
        CONSOLE.print(f"rules: without the published one; {rules.FILE} names no file with its weights")
    chosen = rules.cells(Path(named).read_bytes() if named else None, args.seeds, args.episodes)
    done, failed = _carried_out(args, "rules.json", CellOutcome, run_rule, chosen)
    rules.write(chosen, done, args.out / "learners.md")
    return failed


def what_is_believed(args: Namespace) -> int:
    """What beliefs are worth; returns how many cells failed. Those to compare with are the context benchmark's."""
    from bench.learners import beliefs_report

    chosen, others = beliefs.cells(args.seeds), read(CellOutcome, args.out / "context.json")
    own = [c for c in chosen if c.method in beliefs.BELIEFS]
    done, failed = _carried_out(args, "beliefs.json", BeliefOutcome, run_belief, own)
    beliefs_report.write(_every(beliefs.cells(), chosen), others, done, args.out / "learners.md")
    return failed


def taken_over(args: Namespace) -> int:
    """What populations are worth; returns how many cells failed. Those to compare with are the context benchmark's."""
    from bench.learners import choosing_report

    chosen, others = populations.cells(args.seeds), read(CellOutcome, args.out / "context.json")
    done, failed = _carried_out(args, "populations.json", populations.PopulationOutcome, run_population, chosen)
    every, beside = _every(populations.cells(), chosen), populations.beside()
    choosing_report.write_populations(every, done, beside, others, args.out / "learners.md")
    return failed


def from_past_runs(args: Namespace) -> int:
    """What proposals are worth, once the trials that they are made from are done; returns how many cells failed."""
    from bench.learners import choosing_report

    tried = proposals.trials(args.trials)
    outcomes, failed = _carried_out(args, "trials.json", proposals.TrialOutcome, run_trial, tried)
    found = proposals.proposed(tried, outcomes)
    chosen = proposals.cells(found, min(args.seeds, proposals.SEEDS))
    done, more = _carried_out(args, "proposals.json", CellOutcome, context_work.run, chosen)
    told = f"Trials done: {sum(c.key in outcomes for c in tried)} of {len(tried)}."
    choosing_report.write_proposals(chosen, done, found, told, args.out / "learners.md")
    return failed + more


def _carried_out(
    args: Namespace,
    name: str,
    outcome: type[Any],
    work: Callable[[Any], Any],
    asked: Sequence[Any],
    others: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[dict[str, Any], int]:
    """Do what is asked for and is neither in the file `name` nor among `others`: what that file holds then, and how
    many cells failed.
    """
    path = args.out / name
    done = read(outcome, path)
    wanted = [cell for cell in asked if cell.key not in done and cell.key not in others]
    CONSOLE.print(f"{len(asked) - len(wanted)} of {len(asked)} cells are done; {len(wanted)} to do")
    return done, do(wanted, done, work, path, args.processes, CONSOLE)


def _every(usual: Sequence[Any], chosen: Sequence[Any]) -> list[Any]:
    """Those of the whole benchmark, and what was asked for beside them."""
    return list({cell.key: cell for cell in (*usual, *chosen)}.values())


PARTS = {
    "nearest": known_clusters,
    "beliefs": what_is_believed,
    "curricula": training_tasks,
    "memories": external_memories,
    "populations": taken_over,
    "proposals": from_past_runs,
    "streams": met_one_by_one,
    "rules": learnt_rules,
}


if __name__ == "__main__":
    raise SystemExit(main())
