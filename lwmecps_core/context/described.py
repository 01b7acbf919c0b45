"""What running statistics say about a cluster, in words and units, beside what its task says."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import numpy as np

from lwmecps_core.context.artefact import Knowledge
from lwmecps_core.context.known import AHEAD, MOST, TERM_LATENCY, TERM_REPLICAS, TERM_SLA, Known
from lwmecps_core.context.showing import slopes
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.sim.state import busy_ms
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.calls import with_calls
from lwmecps_core.tasks.money import weights

REWARD = "reward per interval"
RATE = "requests/s"
WHOLE = "cluster"


@dataclass(frozen=True)
class Belief:
    """One thing that is believed: a value (None: nothing is known), the least and the most of it that was seen, and
    what the task says of it (None: nothing).
    """

    about: str
    """`cluster`, or the name of a deployment or node."""
    what: str
    unit: str
    value: float | None
    least: float | None = None
    most: float | None = None
    written: float | None = None

    @property
    def believed(self) -> str:
        """Value and range in words."""
        if self.value is None:
            return "not known yet"
        ends = [_number(x) for x in (self.least, self.most) if x is not None]
        span = f" ({' to '.join(ends)})" if len(ends) == 2 else f" (at most {ends[0]})" if ends else ""
        return f"{_number(self.value)} {self.unit}{span}"

    @property
    def stands(self) -> str:
        """What the task says, in words."""
        return "" if self.written is None else f"{_number(self.written)} {self.unit}"


def described(known: Knowledge, task: TaskSpec | None = None) -> list[Belief]:
    """All that is believed: of the cluster, then of each deployment and node; `task` is what was written about it."""
    if not known.kept:
        numbers = float(sum(x.size for x in known.memory.values()))
        return [Belief(WHOLE, "remembered", "numbers that only the policy can read", numbers)]
    said = Statistics.known(known.kept)
    seen = float(said.intervals[0])
    beliefs = [Belief(WHOLE, "seen" if seen < MOST else "seen, that many or more", "intervals", seen)]
    if seen <= 0.0:
        return beliefs
    with np.errstate(all="ignore"):  # what a file says may be out of all bounds
        beliefs += _whole(known, said, task)
        for d in range(len(known.subject.deployments)):
            beliefs += _deployment(known, said, task, d)
        beliefs += _nodes(known, said)
    return beliefs


def _whole(known: Knowledge, said: Known, task: TaskSpec | None) -> Iterator[Belief]:
    (share, latency, failed), terms = said.overall[0], said.terms[0]
    pods = sum(known.subject.max_replicas)
    replica, slow, miss = _written_prices(task) if task else (None, None, None)

    def price(term: int, amount: float) -> float | None:
        """What a unit of what a term prices costs, if any was seen."""
        return _finite(-terms[term] / amount) if amount > 0.0 else None

    yield Belief(WHOLE, "reward", REWARD, _finite(terms.sum()))
    yield Belief(WHOLE, "latency", "ms", _finite(100.0 * latency))
    yield Belief(WHOLE, "failed requests", "%", _finite(100.0 * failed))
    yield Belief(WHOLE, "in use", "replicas", _finite(pods * share))
    yield Belief(WHOLE, "a replica costs", REWARD, price(TERM_REPLICAS, pods * share), written=replica)
    yield Belief(WHOLE, "100 ms of latency costs", REWARD, price(TERM_LATENCY, latency), written=slow)
    yield Belief(WHOLE, "1 % of failed requests costs", REWARD, price(TERM_SLA, 100.0 * failed), written=miss)


def _written_prices(task: TaskSpec) -> tuple[float, float | None, float | None]:
    """Of a replica, of 100 ms of latency and of 1 % of failed requests, by the task's objective; with bounds, only the
    first has one.
    """
    o, pods = weights(task), sum(d.max_replicas for d in task.deployments)
    if task.objective.slo:
        return o.replicas / pods, None, None
    return o.replicas / pods, 100.0 * o.latency / task.objective.target_latency_ms, o.sla / 100.0


def _deployment(known: Knowledge, said: Known, task: TaskSpec | None, d: int) -> Iterator[Belief]:
    name, spec = known.subject.deployments[d], task.deployments[d] if task else None
    busy, rate, _ = said.work[0, d]
    service = 1000.0 * busy * known.subject.max_replicas[d] / rate if rate > 1e-6 else None
    served = said.serving[0, d] > 0.0  # else nothing was seen of its load and use
    load, least, most = map(_rate, (said.load[0, d, 0], *said.load_range[0, d])) if served else (None, None, None)
    yield Belief(name, "service time", "ms", _finite(service), written=busy_ms(spec) if spec else None)
    yield Belief(name, "load", RATE, load, least, most, written_load(task, d) if task else None)
    for ahead, expected in zip(AHEAD, _forecast(said, d), strict=True):
        later = _rate(expected) if served else None
        yield Belief(name, f"load in {_number(ahead * known.subject.interval_s)} s", RATE, later)
    latency, fastest, slowest = said.latency[0, d]
    if slowest >= fastest:
        yield Belief(name, "latency", "ms", _latency_ms(latency), _latency_ms(fastest), _latency_ms(slowest))
    else:
        yield Belief(name, "latency", "ms", None)
    nothing = (None, None, None)
    failed = _mean_and_most(said.failed[0, d]) if served or said.failed[0, d, 1] > 0.0 else nothing
    yield Belief(name, "failed requests", "%", *failed)
    used = _mean_and_most(said.utilisation[0, d]) if served else nothing
    yield Belief(name, "CPU used of what ready replicas request", "%", *used)


def _nodes(known: Knowledge, said: Known) -> Iterator[Belief]:
    for name, (log_rate, cpu, most) in zip(known.subject.nodes, said.node[0], strict=False):
        yield Belief(name, "load of its users", RATE, _rate(log_rate))
        yield Belief(name, "CPU used", "%", *_mean_and_most(np.array([cpu, most])))


def _forecast(said: Known, d: int) -> list[float]:
    """Log rates `AHEAD` intervals after the newest, as they go with the time of day."""
    by_sine, by_cosine = slopes(said, 0, d)
    sine, cosine = said.clock[0]
    now, turn = complex(cosine, sine), complex(*said.turn[0])
    times = [now * (turn / abs(turn)) ** ahead if abs(turn) > 0.0 else now for ahead in AHEAD]
    means, load = said.times[0, d], said.load[0, d, 0]
    return [float(load + by_sine * (t.imag - means[0]) + by_cosine * (t.real - means[1])) for t in times]


def written_load(task: TaskSpec, d: int) -> float:
    """Requests per second for a deployment by the pattern's base, or the mean of what was recorded."""
    w = task.workload
    users = np.mean(w.recorded_users, axis=0) if w.pattern == "recorded" else np.array(w.base_users)
    return float(with_calls(task, users @ np.array(w.share))[d] / w.request_interval_s)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None


def _rate(log_rate: float) -> float | None:
    return _finite(max(float(np.expm1(log_rate)), 0.0))


def _latency_ms(log_latency: float) -> float | None:
    return _finite(100.0 * float(np.exp(log_latency)))


def _mean_and_most(shares: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float | None, None, float | None]:
    return _finite(100.0 * shares[0]), None, _finite(100.0 * shares[1])


def _number(value: float) -> str:
    """Three digits, and all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"
