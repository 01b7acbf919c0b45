"""A system of many workers as a queue in discrete events: `python -m bench.scale` prints who waits for whom.

Workers collect, send through the shards of Redis, and the learners take in; a learner asks anew when all that it asked
for is there and learnt from. Service times are measured ones (`MEASURED`, from `bench/README.md` and `docs/growth.md`);
what is simulated is only who waits. `docs/scale.md` says what follows.
"""

import argparse
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import factorial

import numpy as np

DAY_S = 86_400.0
Draw = Callable[[], float]


@dataclass(frozen=True)
class Measured:
    """Seconds of one core for a transition (4 × 4, `lwmecps-v3`, set network), and transitions of a request."""

    collect_s: float = 1 / 146_000
    """`rollout_path`: acting, stepping, recording, sending."""
    redis_s: float = 1 / 2_100_000
    """Bare XADD and XREAD of the same entries."""
    learn_s: float = 1 / 16_000
    """What is not acting or simulating of the 79 µs that a step of training takes."""
    request: int = 8 * 128 * 120
    """8 tasks × 128 episodes × 120 intervals."""


SMALL = Measured()
LARGE = Measured(collect_s=598e-6, redis_s=33 * SMALL.redis_s, learn_s=88 * SMALL.learn_s, request=8 * 4 * 120)
"""64 × 64: acting as in `docs/growth.md` when a busy machine made it; Redis by the bytes of a transition. Learning is
assumed to grow as acting.
"""


@dataclass(frozen=True)
class Plan:
    """How many there are of each."""

    workers: int = 1000
    shards: int = 1
    learners: int = 1
    requests_each: int = 1
    """Requests that a learner asks for at once, divided by the workers that it has."""


@dataclass
class Station:
    """`servers` alike servers behind one queue, first come first served."""

    name: str
    servers: int
    draw: Draw
    waiting: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)
    busy: int = 0
    busy_s: float = 0.0
    waits: list[float] = field(default_factory=list)


class Agenda:
    """Events in the order of their times."""

    def __init__(self) -> None:
        self.now_s, self._events, self._count = 0.0, list[tuple[float, int, Callable[[], None]]](), 0

    def after(self, pause_s: float, do: Callable[[], None]) -> None:
        """Call `do` in so many seconds."""
        self._count += 1
        heapq.heappush(self._events, (self.now_s + pause_s, self._count, do))

    def run(self, until_s: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, do = heapq.heappop(self._events)
            do()

    def serve(self, station: Station, then: Callable[[], None]) -> None:
        """A customer for a station; `then` is called when it has been served."""
        station.waiting.append((self.now_s, then))
        self._begin(station)

    def _begin(self, station: Station) -> None:
        while station.waiting and station.busy < station.servers:
            came_s, then = station.waiting.popleft()
            took_s = station.draw()
            station.waits.append(self.now_s - came_s)
            station.busy += 1
            station.busy_s += took_s

            def end(then: Callable[[], None] = then) -> None:
                station.busy -= 1
                then()
                self._begin(station)

            self.after(took_s, end)


def mean_wait_mmc(rate: float, service_s: float, servers: int) -> float:
    """Mean wait in M/M/c (Erlang's C formula), s."""
    offered = rate * service_s
    last = offered**servers / factorial(servers) * servers / (servers - offered)
    waits = last / (sum(offered**k / factorial(k) for k in range(servers)) + last)
    return waits * service_s / (servers - offered)


def mean_wait_md1(rate: float, service_s: float) -> float:
    """Mean wait in M/D/1 (Pollaczek–Khinchine), s."""
    busy = rate * service_s
    return busy * service_s / (2.0 * (1.0 - busy))


def open_queue(rate: float, draw: Draw, servers: int, until_s: float, seed: int) -> Station:
    """A station that customers reach at random times: what the closed forms are about."""
    clock, station, rng = Agenda(), Station("queue", servers, draw), np.random.default_rng(seed)

    def arrive() -> None:
        clock.serve(station, lambda: None)
        clock.after(rng.exponential(1 / rate), arrive)

    clock.after(0.0, arrive)
    clock.run(until_s)
    return station


@dataclass(frozen=True)
class Flows:
    """Transitions per day, and of each station its use and the mean and 95th percentile of its waits, in seconds."""

    per_day: float
    stations: dict[str, tuple[float, float, float]]


def simulate(plan: Plan, measured: Measured, until_s: float = 1800.0, seed: int = 0, spread: float = 0.2) -> Flows:
    """The system in steady work; service times are lognormal with a coefficient of variation of `spread`."""
    rng, clock, done = np.random.default_rng(seed), Agenda(), [0]
    sigma = float(np.sqrt(np.log1p(spread**2)))

    def drawn(mean_s: float) -> Draw:
        return lambda: mean_s * float(rng.lognormal(-(sigma**2) / 2, sigma))

    workers = Station("workers", plan.workers, drawn(measured.request * measured.collect_s))
    shards = [Station("redis", 1, drawn(measured.request * measured.redis_s)) for _ in range(plan.shards)]
    learners = [Station("learner", 1, drawn(measured.request * measured.learn_s)) for _ in range(plan.learners)]
    asked = max(1, plan.workers * plan.requests_each // plan.learners)

    def ask(mine: int) -> None:
        missing = [asked]

        def learnt() -> None:
            done[0] += measured.request
            missing[0] -= 1
            if not missing[0]:
                ask(mine)

        for number in range(asked):
            shard = shards[(mine + number) % len(shards)]
            learner = learners[mine]
            clock.serve(
                workers,
                lambda shard=shard, learner=learner: clock.serve(shard, lambda: clock.serve(learner, learnt)),  # type: ignore[misc]
            )

    for mine in range(plan.learners):
        ask(mine)
    clock.run(until_s)
    groups = {"workers": [workers], "redis": shards, "learners": learners}
    stations = {name: _figures(group, until_s) for name, group in groups.items()}
    return Flows(done[0] / until_s * DAY_S, stations)


def _figures(group: list[Station], until_s: float) -> tuple[float, float, float]:
    waits = np.array([wait for station in group for wait in station.waits] or [0.0])
    use = sum(station.busy_s for station in group) / until_s / sum(station.servers for station in group)
    return min(use, 1.0), float(waits.mean()), float(np.quantile(waits, 0.95))


PLANS: dict[str, tuple[Plan, Measured]] = {
    "1 worker, 1 learner": (Plan(workers=1), SMALL),
    "2 workers, 1 learner": (Plan(workers=2), SMALL),
    "1,000 workers, 1 learner": (Plan(), SMALL),
    "1,000 workers, 250 learners": (Plan(learners=250), SMALL),
    "1,000 workers, 1,000 learners, 1 shard": (Plan(learners=1000), SMALL),
    "1,000 workers, 1,000 learners, 16 shards": (Plan(learners=1000, shards=16), SMALL),
    "64 × 64: 1,000 workers, 1 learner": (Plan(), LARGE),
    "64 × 64: 1,000 workers, 1,000 learners, 1 shard": (Plan(learners=1000), LARGE),
}


def main() -> int:
    """Print a line for each plan."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="simulated time")
    args = parser.parse_args()
    print(
        "| plan | transitions a day | workers busy | Redis busy, wait p95 | learners busy, wait p95 |\n"
        + "| --- " * 5
        + "|"
    )
    for name, (plan, measured) in PLANS.items():
        found = simulate(plan, measured, args.seconds)
        (working, _, _), (redis, _, redis_s), (learning, _, learner_s) = (
            found.stations[station] for station in ("workers", "redis", "learners")
        )
        print(
            f"| {name} | {found.per_day:.2g} | {working:.0%} | {redis:.0%}, {redis_s:.2g} s | "
            f"{learning:.0%}, {learner_s:.2g} s |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
