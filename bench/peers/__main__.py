"""Train ours and what a user would pick instead: `python -m bench.peers [--learners …] [--seeds N]`."""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported, also by the processes that this one starts
    os.environ.update(ONE_THREAD)

import argparse
from pathlib import Path

from rich.console import Console

from bench.doing import do, read
from bench.peers import report
from bench.peers.cells import OURS, THEIRS, PeerCell, measured, trials
from bench.peers.work import PeerOutcome, run

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Try settings of the others, then train with those that did best; 1 when a cell failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--learners", nargs="+", choices=(*OURS, *THEIRS), default=(*OURS, *THEIRS), help="only these")
    parser.add_argument("--seeds", type=int, default=5, help="at most so many training seeds")
    parser.add_argument("--processes", type=int, default=2, help="cells at a time, each on one thread")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where peers.json and peers.md go")
    args = parser.parse_args()
    path, console = args.out / "peers.json", Console()
    done = read(PeerOutcome, path)

    def doing(cells: list[PeerCell]) -> int:
        wanted = [cell for cell in cells if cell.key not in done]
        console.print(f"{len(cells) - len(wanted)} of {len(cells)} cells are done", highlight=False)
        return do(wanted, done, run, path, args.processes, console)

    tried = {name: list(trials(name)) for name in THEIRS}
    failed = doing([cell for name in args.learners if name in THEIRS for cell in tried[name]])
    chosen = {name: best for name in THEIRS if (best := report.best(tried[name], done))}
    every = {name: list(measured(name, chosen.get(name))) for name in (*OURS, *THEIRS) if name in (*OURS, *chosen)}
    failed += doing([cell for name in args.learners for cell in every.get(name, ()) if cell.seed < args.seeds])
    report.write(every, tried, done, args.out / "peers.md")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
