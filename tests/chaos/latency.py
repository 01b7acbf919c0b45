"""Durations of calls from several client threads, and of an empty echo from as many."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from bench.processes import reference_server

T = TypeVar("T")
SERVER_THREADS = 32
"""As many as our services have."""
Echo = Callable[[], bytes]


@contextmanager
def echo_server() -> Iterator[Echo]:
    """A call of an empty message that is answered by an empty message, from a process of its own."""
    with reference_server("echo", SERVER_THREADS) as channel:
        call = channel.unary_unary("/bench.Echo/Call", request_serializer=None, response_deserializer=None)
        yield lambda: call(b"", timeout=20)


class Race:
    """Calls from `threads` threads in rounds, and as many echoes after every round."""

    def __init__(self, threads: int, echo: Echo) -> None:
        self._threads, self._echo = threads, echo
        self.ours_ms, self.echo_ms = list[float](), list[float]()

    def round(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The answers, in order."""
        answers, durations = together(self._threads, calls)
        self.ours_ms += durations
        self.echo_ms += together(self._threads, [self._echo] * len(calls))[1]
        return answers

    def report(self) -> dict[str, float]:
        """Number of calls, and percentiles in ms."""
        ours, floor = quantiles(self.ours_ms), quantiles(self.echo_ms)
        return {"calls": len(self.ours_ms), "threads": self._threads} | ours | {f"echo_{k}": floor[k] for k in floor}


def together(threads: int, calls: Sequence[Callable[[], T]]) -> tuple[list[T], list[float]]:
    """The answers, in order, and how long each took in ms."""
    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(_timed, calls))
    return [answer for answer, _ in done], [ms for _, ms in done]


def quantiles(ms: Sequence[float]) -> dict[str, float]:
    """Median, p99 and the longest."""
    cuts = statistics.quantiles(ms, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2), "max_ms": round(max(ms), 2)}


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    answer = call()
    return answer, (time.perf_counter() - began) * 1e3
