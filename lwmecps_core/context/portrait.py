"""A cluster of any size as a row of fixed length: what running statistics know of it, pooled over what it consists of.

Of each quantity of deployments and nodes the mean, the spread (standard deviation), the least and the most are taken
(pooling: Zaheer et al. 2017, arXiv:1703.06114); what is a ratio by nature is taken as a logarithm. Standardised, a 1 is
as much as clusters of the families differ by.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, expm1
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.context.base import Memory
from lwmecps_core.context.known import TERM_IMBALANCE, TERM_LATENCY, TERM_MOVES, TERM_REPLICAS, TERM_SLA
from lwmecps_core.context.scales import SCALES
from lwmecps_core.context.statistics import Statistics

Floats = NDArray[np.float64]

POOLS = ("typical", "spread", "least", "most")
"""Mean, standard deviation, minimum and maximum over deployments or nodes."""
FARTHEST = 4.0
"""Standardised values end here: one odd number must not decide what a cluster is like."""
SMALL_COST = 1e-3
"""Of reward per interval, below which prices are told apart no more."""
Shape = Literal["log", "log1p", "linear"]


@dataclass(frozen=True)
class Source:
    """A quantity that statistics know: of a cluster, its deployments or its nodes."""

    about: str
    what: str
    unit: str
    shape: Shape
    """As what it is compared: a logarithm, that of 1 + it, or itself."""
    factor: float = 1.0
    """Its unit in that of the statistics."""

    @property
    def pooled(self) -> tuple[str, ...]:
        """What is taken of it."""
        return ("",) if self.about == "cluster" else POOLS


SOURCES = (
    Source("cluster", "latency", "ms", "log", 100.0),
    Source("cluster", "failed requests", "%", "linear", 100.0),
    Source("cluster", "replicas in use", "% of all", "linear", 100.0),
    Source("cluster", "reward lost", "per interval", "log"),
    Source("cluster", "price of all replicas", "reward per interval", "log"),
    Source("cluster", "price of 100 ms of latency", "reward per interval", "log"),
    Source("cluster", "price of failing all requests", "reward per interval", "log"),
    Source("cluster", "imbalance costs", "reward per interval", "log"),
    Source("cluster", "moves cost", "reward per interval", "log"),
    Source("deployments", "service time", "ms", "log"),
    Source("deployments", "load", "requests/s", "log1p"),
    Source("deployments", "highest load", "requests/s", "log1p"),
    Source("deployments", "swing of load", "times", "log"),
    Source("deployments", "daily swing of load", "times", "log"),
    Source("deployments", "latency", "ms", "log", 100.0),
    Source("deployments", "highest latency", "ms", "log", 100.0),
    Source("deployments", "failed requests", "%", "linear", 100.0),
    Source("deployments", "most failed requests", "%", "linear", 100.0),
    Source("deployments", "busy share of ready replicas", "%", "linear", 100.0),
    Source("deployments", "highest busy share", "%", "linear", 100.0),
    Source("deployments", "replicas on the main node", "%", "linear", 100.0),
    Source("nodes", "load of their users", "requests/s", "log1p"),
    Source("nodes", "CPU used", "%", "linear", 100.0),
    Source("nodes", "most CPU used", "%", "linear", 100.0),
)


@dataclass(frozen=True)
class Quantity:
    """One number of a portrait: a source, and what of it."""

    source: Source
    pool: str
    usual: float
    spread: float
    """Mean and standard deviation over clusters of the families."""

    @property
    def name(self) -> str:
        """In words."""
        own = f"{self.source.what} of {self.source.about}"
        return f"{own}, {self.pool}" if self.pool else self.source.what

    def said(self, value: float) -> str:
        """A value of it in words and units."""
        if not np.isfinite(value):
            return "not known"
        if self.pool == "spread" and self.source.shape != "linear":
            return f"× {exp(min(value, 50.0)):.3g}"
        back: dict[Shape, Callable[[float], float]] = {"log": exp, "log1p": expm1, "linear": float}
        shown = self.source.factor * back[self.source.shape](min(value, 50.0))
        return f"{shown:.3g} {self.source.unit}" if abs(shown) < 100.0 else f"{shown:,.0f} {self.source.unit}"


@cache
def quantities() -> tuple[Quantity, ...]:
    """What the numbers of a portrait are, in their order."""
    found = ((s, p) for s in SOURCES for p in s.pooled)
    return tuple(Quantity(s, p, *SCALES[i]) for i, (s, p) in enumerate(found))


def portraits(memory: Memory, max_replicas: Sequence[Sequence[int]]) -> Floats:
    """What `statistics` remember of B clusters of one size, whose deployments may have `max_replicas` `[B, D]` →
    `[B, len(quantities())]`; NaN where nothing is known.
    """
    with np.errstate(all="ignore"):  # what a file says may be out of all bounds
        found = {s: _pooled(s, x) for s, x in zip(SOURCES, _values(memory, np.array(max_replicas)), strict=True)}
        rows = np.concatenate([found[s] for s in SOURCES], axis=1)
    rows[memory["intervals"] <= 0.0] = np.nan
    rows[~np.isfinite(rows)] = np.nan
    return rows


def standardised(rows: Floats) -> Floats:
    """Portraits `[..., F]` in standard deviations from what is usual, within ±`FARTHEST`; NaN stays."""
    usual, spread = np.array([(q.usual, q.spread) for q in quantities()]).T
    clipped: Floats = np.clip((rows - usual) / spread, -FARTHEST, FARTHEST)
    return clipped


def _values(memory: Memory, max_replicas: Floats) -> list[Floats]:
    """Each of `SOURCES`, as it is compared: `[B, 1]` of the cluster, else `[B, D]` or `[B, N]`."""
    said = Statistics.known(memory)
    (share, latency, failed), costs = said.overall.T, -said.terms
    whole = [
        np.log(latency),
        failed,
        share,
        np.log(SMALL_COST + costs.sum(1).clip(0.0)),
        _price(costs[:, TERM_REPLICAS], share),
        _price(costs[:, TERM_LATENCY], latency),
        _price(costs[:, TERM_SLA], failed),
        np.log(SMALL_COST + costs[:, TERM_IMBALANCE].clip(0.0)),
        np.log(SMALL_COST + costs[:, TERM_MOVES].clip(0.0)),
    ]
    served = np.where(said.serving > 0.0, 1.0, np.nan)
    busy, rate = said.work[..., 0], said.work[..., 1]
    answered = np.where(said.latency[..., 2] >= said.latency[..., 1], served, np.nan)
    deployments = [
        np.where(rate > 1e-6, served, np.nan) * np.log(1000.0 * busy * max_replicas / rate),
        served * said.load[..., 0],
        served * said.load_range[..., 1],
        served * np.sqrt((said.load[..., 1] - said.load[..., 0] ** 2).clip(0.0)),
        served * _daily(said.times, said.load, said.serving),
        answered * said.latency[..., 0],
        answered * said.latency[..., 2],
        said.failed[..., 0],
        said.failed[..., 1],
        served * said.utilisation[..., 0],
        served * said.utilisation[..., 1],
        said.pair[..., 0].max(-1) / said.pair[..., 0].sum(-1) if said.pair.size else np.full_like(served, np.nan),
    ]
    nodes = [said.node[..., i] if said.node.size else np.full((len(served), 1), np.nan) for i in range(3)]
    return [*(x[:, None] for x in whole), *deployments, *nodes]


def _price(cost: Floats, amount: Floats) -> Floats:
    """Log of what a unit costs; NaN where there was none."""
    return np.where(amount > 0.0, np.log(SMALL_COST + cost.clip(0.0) / np.maximum(amount, 1e-12)), np.nan)


def _daily(times: Floats, load: Floats, serving: Floats) -> Floats:
    """Amplitude `[B, D]` of the log rate's regression on the time of day: `statistics.slopes` of many."""
    ridge = 1.0 / np.maximum(serving, 1.0)
    sine, cosine = times[..., 0], times[..., 1]
    ss, cc = times[..., 2] - sine**2 + ridge, times[..., 4] - cosine**2 + ridge
    sc = times[..., 3] - sine * cosine
    ys, yc = load[..., 2] - load[..., 0] * sine, load[..., 3] - load[..., 0] * cosine
    amplitude: Floats = np.hypot(cc * ys - sc * yc, ss * yc - sc * ys) / (ss * cc - sc * sc)
    return amplitude


def _pooled(source: Source, values: Floats) -> Floats:
    """`[B, X]` → `[B, len(source.pooled)]`, of what is known."""
    if source.about == "cluster":
        return values
    known = np.isfinite(values)
    count = known.sum(1)
    x = np.where(known, values, 0.0)
    mean = x.sum(1) / count
    spread = np.sqrt((np.where(known, values - mean[:, None], 0.0) ** 2).sum(1) / count)
    least = np.where(known, values, np.inf).min(1)
    most = np.where(known, values, -np.inf).max(1)
    return np.stack([mean, spread, least, most], axis=1)
