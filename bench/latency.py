"""The tail of a call's latency, for bars that speak of p99."""

import time
from collections.abc import Callable

import numpy as np


def p99_us(call: Callable[[], object], calls: int) -> float:
    """The 99th percentile of one call's duration, in microseconds."""
    durations_ns = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        call()
        durations_ns.append(time.perf_counter_ns() - start)
    return float(np.percentile(durations_ns, 99)) / 1e3
