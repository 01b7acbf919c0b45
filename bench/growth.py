"""How time and memory grow: `python -m bench.growth [--out FILE]` writes `docs/growth.md`, in minutes of one core.

Each table varies one quantity. Time is processor time (for workers: time that passed), the least of some rounds;
memory is the bytes of the arrays that hold the result. The exponent is the slope of a straight line through the
logarithms (least squares): 0 means that a transition costs the same at every size, 1 that it grows in proportion.
"""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported: every figure here is for one core
    os.environ.update(ONE_THREAD)

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench import rollout_path, simulator
from bench.cases import square_task
from bench.inner_loop import problem
from bench.memory import saved_bytes
from bench.policies import snapshot
from bench.processes import running
from bench.report import machine
from bench.timing import rate, seconds, wall_rate
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.policy_store import RedisPolicyStore
from lwmecps_core.rollout.queue_collector import QueueCollector
from lwmecps_core.rollout.redis_queue import RedisQueue, connect
from lwmecps_core.rollout.streams import REPLY_LIMITS, REQUEST_LIMITS, REQUEST_STREAM, reply_stream
from lwmecps_core.rollout.unroll import unroll
from lwmecps_core.training.remembering import Remembered
from services.common.local_redis import LocalRedis

OUT = Path(__file__).resolve().parents[1] / "docs" / "growth.md"
ROUNDS, ROUND_S = 3, 0.3
NEW = 480
"""Transitions of a collection that a replay memory takes in."""


@dataclass(frozen=True)
class Grown:
    """One size: time and memory per transition."""

    size: int
    time_us: float
    memory_bytes: float


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of a straight line through the logarithms, by least squares; nan where a value is 0."""
    if min(values) <= 0:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def simulated(nodes: int, width: int = 64) -> Grown:
    """The simulator alone, `lwmecps-v4`, `nodes` × `nodes`."""
    task = simulator.v4(nodes)
    work = simulator.episode(task, width)
    return Grown(nodes, _least_us(work), _kept_bytes(task.env_id, nodes))


def acting(nodes: int) -> Grown:
    """Acting with the default network and recording, `lwmecps-v3`, 8 environments."""
    return Grown(nodes, _least_us(_collecting(nodes, 8)), _kept_bytes("lwmecps-v3", nodes))


def batched(width: int) -> Grown:
    """The same at 4 × 4 with `width` environments."""
    return Grown(width, _least_us(_collecting(4, width)), _kept_bytes("lwmecps-v3", 4, width))


def meta_batch(tasks: int) -> Grown:
    """A second-order meta-gradient through one inner step, 20 transitions per task and step; memory is autograd's."""
    work, _ = problem("set", 20, tasks, steps=1)
    transitions = 2 * 20 * tasks
    work()
    least = min(seconds(work) for _ in range(ROUNDS))
    return Grown(tasks, 1e6 * least / transitions, saved_bytes(work) / transitions)


def replay(size: int) -> Grown:
    """Taking a collection of `NEW` transitions into a full memory of `size`."""
    memory = Remembered(size)
    new = {"obs": torch.zeros(1, NEW, 48), "weight": torch.ones(1, NEW)}
    for _ in range(size // NEW + 2):
        kept = memory.add(new)

    def work() -> int:
        memory.add(new)
        return NEW

    held = sum(x.untyped_storage().nbytes() for x in kept.values())
    return Grown(size, _least_us(work), held / size)


def workers(count: int) -> Grown:
    """From so many worker processes through Redis into the learner's tensors: time that passed."""
    with ExitStack() as stack:
        server = stack.enter_context(LocalRedis())
        for number in range(count):
            arguments = ["--name", f"w{number}", "--redis-url", server.url, "--log-level", "error"]
            stack.enter_context(running(rollout_path.WORKER, arguments, {}))
        client = connect(server.url)
        queues = (
            RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS),
            RedisQueue(client, reply_stream("g"), REPLY_LIMITS),
        )
        collector = QueueCollector("g", *queues, RedisPolicyStore(client))
        work = rollout_path.collecting(collector)
        for _ in range(2 * count):
            work()
        best = max(wall_rate(work, 1.0) for _ in range(ROUNDS))
        held = int(client.info("memory")["used_memory_peak"]) / work()
        collector.close()
    return Grown(count, 1e6 / best, held)


TABLES: dict[str, tuple[str, Callable[[int], Grown], tuple[int, ...], str]] = {
    "Cluster, simulator": ("nodes = deployments", simulated, (4, 8, 16, 64), "bytes of a recorded transition"),
    "Cluster, acting and recording": ("nodes = deployments", acting, (4, 8, 16, 64), "bytes of a recorded transition"),
    "Batch": ("environments", batched, (16, 64, 256, 1024), "bytes of a recorded transition"),
    "Workers": ("processes", workers, (1, 2), "bytes of Redis at its peak per transition of a collection"),
    "Tasks per meta-batch": ("tasks", meta_batch, (2, 4, 8, 16), "bytes of autograd's graph"),
    "Replay memory": ("transitions kept", replay, (1_000, 10_000, 100_000), "bytes held per transition kept"),
}
"""Title → what is varied, what measures one size, the sizes, and what memory is."""


def _least_us(work: Callable[[], int]) -> float:
    work()
    return 1e6 / max(rate(work, ROUND_S) for _ in range(ROUNDS))


def _collecting(nodes: int, width: int) -> Callable[[], int]:
    task = square_task(nodes, "lwmecps-v3")
    policy, plan = snapshot(task), CollectionPlan(seeds=(1,), episodes=width)
    return lambda: sum(batch.reward.size for batch in unroll([task], policy, plan))


def _kept_bytes(env_id: str, nodes: int, width: int = 4) -> float:
    """Bytes of a recorded transition, as it travels and as it is learnt from."""
    task = square_task(nodes, env_id)
    (batch,) = unroll([task], snapshot(task, "mlp"), CollectionPlan(seeds=(1,), episodes=width, length=8))
    arrays = [x for x in vars(batch).values() if isinstance(x, np.ndarray)]
    arrays += [x for table in (batch.info, batch.extras) for x in table.values()]
    return sum(x.nbytes for x in arrays) / batch.reward.size


def table(title: str, varied: str, memory: str, rows: Sequence[Grown]) -> str:
    """One table, and its exponents."""
    sizes = [row.size for row in rows]
    slopes = [exponent(sizes, [getattr(row, name) for row in rows]) for name in ("time_us", "memory_bytes")]
    lines = [f"## {title}", "", f"| {varied} | µs per transition | {memory} |", "| --- | --- | --- |"]
    lines += [f"| {row.size:,} | {row.time_us:,.3g} | {row.memory_bytes:,.0f} |" for row in rows]
    lines += [f"| exponent | {slopes[0]:.2f} | {slopes[1]:.2f} |", ""]
    return "\n".join(lines)


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", action="append", choices=TABLES)
    args = parser.parse_args()
    torch.set_num_threads(1)
    here = machine()
    parts = [
        "# How time and memory grow",
        "",
        "Written by `python -m bench.growth`, whose first lines say how it is measured. An exponent of 0 means that a",
        "transition costs the same at every size, of 1 that its cost grows in proportion, of −1 that all of them",
        f"together cost the same. Measured on {here['cpu']}, {here['cores']} cores, at a load of",
        f"{here['load_average']:.0f} by other work.",
        "",
    ]
    for title in args.only or TABLES:
        varied, measure, sizes, memory = TABLES[title]
        parts.append(table(title, varied, memory, [measure(size) for size in sizes]))
        print(parts[-1], flush=True)
    args.out.write_text("\n".join(parts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
