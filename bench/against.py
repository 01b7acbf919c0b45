"""Speed against another checkout, side by side: `python -m bench.against FOLDER [--only NAME]… [--rounds N]`.

Each checkout measures in a process of its own; rounds alternate, so that both see the same machine. FOLDER is a
worktree of the other commit (`git worktree add FOLDER COMMIT`); it needs no installation, our packages serve both.
"""

import argparse
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.processes import ONE_THREAD

HERE = Path(__file__).resolve().parent.parent
FLOOR = 0.97

WORKER = """
from bench.policies import v3
from bench.timing import rate
from bench.worker import collection
work = collection(v3())
measure = lambda: rate(work, 1.0)
"""
STEP_UNARY = """
from itertools import cycle
from bench.stepping import env_service, open_session, tensor
from bench.timing import median_latency_us
from protos.lwmecps.env.v1 import env_pb2 as pb
session = open_session(stack.enter_context(env_service()), 1)
actions = cycle(session.actions)
step = lambda: session.stub.StepSession(pb.StepSessionRequest(session_id=session.id, action=tensor(next(actions))))
measure = lambda: 1e6 / median_latency_us(step, 400)
"""
ROLLOUT_PATH = """
from bench import rollout_path as r
from bench.processes import running
from bench.timing import wall_rate
server = stack.enter_context(r.LocalRedis())
stack.enter_context(running(r.WORKER, ["--redis-url", server.url, "--log-level", "error"], {}))
client = r.connect(server.url)
queues = (r.RedisQueue(client, name, limits) for name, limits in
          ((r.REQUEST_STREAM, r.REQUEST_LIMITS), (r.reply_stream(r.RUN_ID), r.REPLY_LIMITS)))
work = r._collecting(r.QueueCollector(r.RUN_ID, *queues, r.RedisPolicyStore(client)))
measure = lambda: wall_rate(work, 2.0)
"""
PARTS = {"worker": WORKER, "rollout_path": ROLLOUT_PATH, "step_unary": STEP_UNARY}
"""What makes `measure`, which returns a rate (higher is better), in either checkout; `stack` closes what it opens."""

CHILD = """
import sys, torch
from contextlib import ExitStack
torch.set_num_threads(1)
with ExitStack() as stack:
    exec(sys.argv[1])
    for _ in sys.stdin:
        print(measure(), flush=True)
"""


class Checkout:
    """A process that measures `part` in a checkout whenever it is asked."""

    def __init__(self, folder: Path, part: str, stack: ExitStack) -> None:
        env = os.environ | ONE_THREAD | {"PYTHONPATH": str(folder)}
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", CHILD, PARTS[part]],
                cwd=folder,
                env=env,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert self._process.stdin is not None
        stack.callback(self._process.stdin.close)

    def measure(self) -> float:
        """One round's rate."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline() or "nan")


def ratios(part: str, other: Path, rounds: int) -> list[float]:
    """Our rate divided by the other's, round by round; the first round is a warm-up."""
    with ExitStack() as stack:
        ours, theirs = Checkout(HERE, part, stack), Checkout(other, part, stack)
        found = []
        for i in range(rounds + 1):
            order = (ours, theirs) if i % 2 else (theirs, ours)
            first, second = (checkout.measure() for checkout in order)
            found.append(first / second if i % 2 else second / first)
        return found[1:]


def main() -> int:
    """Print every part's ratio; 1 where one is below the floor."""
    parser = argparse.ArgumentParser(prog="python -m bench.against", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    missed = False
    for part in args.only or PARTS:
        found = sorted(ratios(part, args.other.resolve(), args.rounds))
        missed |= median(found) < FLOOR
        print(f"{part:14} {median(found):.3f} times the other (rounds {found[0]:.3f} to {found[-1]:.3f})", flush=True)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
