"""The one way to time: measured and reference rounds alternate, warm-up is apart, the median decides.

A shared machine drifts (other load, clock speed), so that two absolute figures from different minutes can't be
compared; rounds that alternate see the same machine.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Paired:
    """Medians over rounds of the measured and the reference figure, and of their ratio within each round."""

    measured: float
    reference: float
    ratio: float
    measured_rounds: tuple[float, ...]
    reference_rounds: tuple[float, ...]

    def detail(self) -> dict[str, Any]:
        """Everything that was measured, for the metadata file."""
        return {"reference": self.reference, "rounds": self.measured_rounds, "reference_rounds": self.reference_rounds}


def interleave(
    measured: Callable[[], float], reference: Callable[[], float], *, rounds: int = 7, warm_up: int = 1
) -> Paired:
    """Call both in turn; each call does one round of work and returns its figure (a rate, or a duration).

    The first `warm_up` rounds (compilation, caches, connections) are not counted.
    """
    for _ in range(warm_up):
        measured(), reference()
    pairs: list[tuple[float, float]] = []
    for _ in range(rounds):
        pairs.append((measured(), reference()))
    ours, theirs = zip(*pairs, strict=True)
    return Paired(median(ours), median(theirs), median(a / b for a, b in pairs), ours, theirs)


def rate(work: Callable[[], int], min_s: float) -> float:
    """Units per second of one core: `work` returns how many units it did, and is repeated for at least `min_s`.

    Processor time, not time that passed: what else runs on the machine doesn't count. For work in this process only.
    """
    return _rate(work, min_s, time.process_time)


def wall_rate(work: Callable[[], int], min_s: float) -> float:
    """Units per second that passed, for work that several processes share or that waits."""
    return _rate(work, min_s, time.perf_counter)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of doing `work` once."""
    with _no_gc():
        start_s = time.process_time()
        work()
        return time.process_time() - start_s


def median_latency_us(call: Callable[[], object], calls: int) -> float:
    """Median duration of one call, in microseconds."""
    durations_ns: list[int] = []
    with _no_gc():
        for _ in range(calls):
            start = time.perf_counter_ns()
            call()
            durations_ns.append(time.perf_counter_ns() - start)
    return median(durations_ns) / 1e3


def _rate(work: Callable[[], int], min_s: float, clock: Callable[[], float]) -> float:
    with _no_gc():
        start_s, units = clock(), 0
        while True:
            units += work()
            elapsed_s = clock() - start_s
            if elapsed_s >= min_s:
                return units / elapsed_s


@contextmanager
def _no_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
