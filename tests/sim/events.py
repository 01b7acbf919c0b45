"""Servers event by event: what the formulas of the model stand for. Times in units of a request's mean service."""

import heapq
import math

import numpy as np


def service(rng: np.random.Generator, cv: float, size: int) -> np.ndarray:
    """What requests need, of mean 1 and that coefficient of variation: all the same, or a gamma distribution."""
    return rng.gamma(1 / cv**2, cv**2, size) if cv else np.ones(size)


def sharing(rho: float, cores: int, slots: int, cv: float, requests: int = 60_000) -> np.ndarray:
    """Times in a pod, event by event, that serves `slots` requests at once by `cores`; the others wait in order."""
    rng = np.random.default_rng(0)
    arrivals = np.append(np.cumsum(rng.exponential(1 / (rho * cores), requests)), math.inf)
    work = service(rng, cv, requests)
    left, served, times = [], [], np.zeros(requests)  # work left of those that are served, and which they are
    now, waiting_from, come = 0.0, 0, 0
    while served or come < requests:
        speed = min(1.0, cores / len(served)) if served else 0.0
        first = min(range(len(left)), key=left.__getitem__) if served else -1
        done = now + left[first] / speed if served else math.inf
        then = min(done, arrivals[come])
        left = [x - (then - now) * speed for x in left]
        now = then
        if done <= arrivals[come]:
            del left[first]
            who = served.pop(first)
            times[who] = now - arrivals[who]
        else:
            come += 1
        if waiting_from < come and len(served) < slots:
            left.append(work[waiting_from])
            served.append(waiting_from)
            waiting_from += 1
    return times[1000:]


def in_order_of_coming(rho: float, servers: int, cv: float, requests: int = 200_000) -> np.ndarray:
    """Times of requests that wait in one line for so many servers."""
    rng = np.random.default_rng(0)
    work, now = service(rng, cv, requests), np.cumsum(rng.exponential(1 / (rho * servers), requests))
    free, times = [0.0] * servers, np.empty(requests)
    for i in range(requests):
        end = max(now[i], heapq.heappop(free)) + work[i]
        times[i] = end - now[i]
        heapq.heappush(free, end)
    return times


def bursts(requests: int, pods: int, cv: float, times: int = 4_000) -> np.ndarray:
    """Times of requests that come all at once, again and again, each to any of the pods."""
    rng, found = np.random.default_rng(0), []
    for _ in range(times):
        work, pod = service(rng, cv, requests), rng.integers(0, pods, requests)
        found += [work[pod == p].cumsum() for p in range(pods)]
    return np.concatenate(found)


def with_timeouts(rho: float, timeout: float, leave: bool, requests: int = 200_000) -> tuple[float, float]:
    """Share of requests that aren't answered before the timeout, and the mean time of all, which counts it for those.

    One server, exponential service. Where clients `leave`, what they asked for is dropped when its turn comes; else it
    is served all the same, for nobody.
    """
    rng = np.random.default_rng(0)
    work, now = service(rng, 1.0, requests), np.cumsum(rng.exponential(1 / rho, requests))
    free, times = 0.0, np.empty(requests)
    for i in range(requests):
        begins = max(now[i], free)
        if leave and begins - now[i] > timeout:
            times[i] = math.inf
            continue
        free = begins + work[i]
        times[i] = free - now[i]
    return float((times > timeout).mean()), float(np.minimum(times, timeout).mean())
