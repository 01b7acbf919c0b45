"""`python -m tests.chaos`: the system under kills, under a failing Redis and network, hostile requests and load.

Prints what happens, writes OUT/results.json, and ends with 1 when a promise of docs/guarantees.md was not kept.
"""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from tests.chaos import scenario
from tests.chaos.fuzzing import NO_WORK, bombard
from tests.chaos.load import press
from tests.chaos.network import missing
from tests.chaos.network_faults import cross
from tests.chaos.redis_faults import endure
from tests.chaos.system import running


def main() -> int:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the run and of the kills")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=150, help="meta-epochs of the run")
    parser.add_argument("--outage", type=float, default=5.0, help="seconds of every fault of Redis; 0: none")
    parser.add_argument("--network", type=float, default=5.0, help="seconds of every partition; 0: none (needs root)")
    parser.add_argument("--fuzz", type=int, default=1000, help="hostile requests for every method; 0: none")
    parser.add_argument("--load", type=float, default=0.0, help="hours of use of the soak, beside the rest of the load")
    parser.add_argument("--postgres", action="store_true", help="the registry on PostgreSQL, which is killed too")
    parser.add_argument("--volatile", action="store_true", help="Redis keeps nothing: every kill is a flush")
    parser.add_argument("--timeout", type=float, default=780.0, help="seconds that the run may take")
    parser.add_argument("--out", type=Path, default=Path("out/chaos"))
    args = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    folder = args.out.resolve()
    found: dict[str, Any] = {}
    if args.kills:
        found = _storm(args, folder)
    if args.outage:
        found["redis"] = endure(folder / "state", args.outage, lambda text: print(text, flush=True))
    if args.network:
        found["network"] = _cross(args, folder)
    if args.fuzz:
        found["fuzz"] = _bombard(args, folder)
    if args.load:
        found["load"] = press(
            folder / "state", args.load, postgres=args.postgres, say=lambda text: print(text, flush=True)
        )
    (folder / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    parts = (found, *(part for part in found.values() if isinstance(part, dict)))
    held = all(part.get("holds", True) for part in parts)
    return 0 if held and not found.get("fuzz", {}).get("wrong") else 1


def _storm(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    with running(folder / "state", postgres=args.postgres, volatile=args.volatile) as system:
        outcome = scenario.storm(
            system,
            seed=args.seed,
            kills=args.kills,
            epochs=args.epochs,
            timeout_s=args.timeout,
            say=lambda text: print(text, flush=True),
        )
    if args.volatile:
        outcome.redis = "keeps nothing"
    return scenario.as_json(outcome)


def _cross(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    if reason := missing():
        print(f"no network of our own: {reason}", flush=True)
        return {"skipped": reason}
    return cross(folder / "state", args.network, lambda text: print(text, flush=True))


def _bombard(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    with running(folder / "state", learners=1, more=NO_WORK) as system:
        return bombard(system, args.seed, args.fuzz, lambda text: print(text, flush=True))


if __name__ == "__main__":
    sys.exit(main())
