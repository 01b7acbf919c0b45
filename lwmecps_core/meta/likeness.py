"""Which known clusters one is like, and why: by standardised statistics as they are, or by a metric that was learnt."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lwmecps_core import tensor_file
from lwmecps_core.config import dump, parse
from lwmecps_core.context.artefact import Knowledge
from lwmecps_core.context.portrait import SOURCES, portraits, quantities, standardised
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.meta.metric import MetricConfig, make
from lwmecps_core.tree import Tree, flatten, unflatten

Floats = NDArray[np.float64]

FORMAT = "lwmecps-metric-1"
SHOWN = 3
"""Quantities that are named as alike, and as different."""
ROUNDING = 1e-5
"""Of distances by networks, which are float32."""
ALIKE = 0.5
"""Standard deviations within which a quantity is alike."""


@dataclass(frozen=True)
class MetricData:
    """A metric that was learnt, for portraits of today's quantities."""

    cfg: MetricConfig
    params: Tree


@dataclass(frozen=True)
class Reason:
    """A quantity of two clusters in words, and by how much their distance is larger for it."""

    quantity: str
    here: str
    there: str
    distance: float


@dataclass(frozen=True)
class Likeness:
    """One of the known clusters (by its place among them): how far it is, and what is alike and what differs most."""

    place: int
    distance: float
    alike: tuple[Reason, ...]
    differs: tuple[Reason, ...]


def portrait(known: Knowledge, source: str) -> Floats:
    """The numbers `[F]` that a cluster is compared by; raises `InvalidInput` of `source` where there are none."""
    reason = ""
    if known.subject.context != "statistics":
        reason = f"is of the context {known.subject.context!r}: only running statistics can be compared"
    elif not known.kept["intervals"][0] > 0.0:
        reason = "has seen no interval yet"
    if reason:
        raise InvalidInput(source, [Violation("memory", reason)])
    row: Floats = portraits(known.kept, [known.subject.max_replicas])[0]
    return row


def distances(known: Floats, one: Floats, metric: MetricData | None = None) -> Floats:
    """How far portraits `[N, F]` are from `one` `[F]`: `[N]`.

    Without a metric the root of the mean squared difference of what both know, standardised: 1 is as far as clusters of
    the families lie apart by one quantity; infinite where they have none in common. A metric takes what is not known
    for what is usual.
    """
    rows, row = standardised(known), standardised(one)
    if metric is None:
        squares = (rows - row) ** 2
        both = np.isfinite(squares)
        total = np.where(both, squares, 0.0).sum(-1)
        found: Floats = np.sqrt(np.divide(total, both.sum(-1), out=np.full(len(rows), np.inf), where=both.any(-1)))
        return found
    with torch.no_grad():
        told = [torch.from_numpy(np.nan_to_num(x, nan=0.0)).float() for x in (rows, row)]
        measured: Floats = make(metric.cfg).distances(metric.params, *told).double().numpy()
    return measured


def nearest(known: Floats, one: Floats, metric: MetricData | None = None, most: int = 0) -> list[Likeness]:
    """The `most` (0: all) known clusters `[N, F]` that `one` `[F]` is most like, the nearest first.

    A quantity's part of a distance is by how much that would be smaller if `one` were as the other is in this: as the
    metric sees it, not as numbers differ. Alike is first what the others of the answer differ in most.
    """
    if not len(known):
        return []
    found = distances(known, one, metric)
    order = np.argsort(found, kind="stable")[: most or len(known)]
    near = known[order]
    parts = np.stack([found[order] - _swapped(near, one, columns, metric) for columns in _columns()], axis=1)
    parts = np.where(np.abs(parts) > ROUNDING, parts, 0.0)
    telling = parts.mean(0) - parts
    return [
        Likeness(
            int(order[i]),
            float(found[order[i]]),
            _alike(near[i], one, parts[i], telling[i]),
            _differs(near[i], one, parts[i]),
        )
        for i in range(len(order))
    ]


def to_bytes(metric: MetricData) -> bytes:
    """The metric as one file (safetensors)."""
    header = {"cfg": dump(metric.cfg), "quantities": [q.name for q in quantities()]}
    return tensor_file.write(flatten(metric.params, "params"), {"format": FORMAT, "metric": json.dumps(header)})


def from_bytes(data: bytes, source: str) -> MetricData:
    """Read `to_bytes`' output; raises `InvalidInput` naming `source` and what is wrong in it."""

    def fresh(said: Any) -> tuple[MetricConfig, Mapping[str, Tensor]]:
        if said["quantities"] != [q.name for q in quantities()]:
            raise ValueError("it compares other quantities than this version knows: learn it anew")
        cfg = parse(MetricConfig, said["cfg"], source)
        return cfg, flatten(make(cfg).init(len(quantities()), torch.Generator()), "params")

    cfg, tensors = tensor_file.read_learnt(data, source, "metric", "metric file", FORMAT, fresh)
    return MetricData(cfg, unflatten(tensors, "params"))


def _columns() -> list[list[int]]:
    """The numbers of a portrait that are of each source."""
    places: dict[object, list[int]] = {s: [] for s in SOURCES}
    for i, q in enumerate(quantities()):
        places[q.source].append(i)
    return list(places.values())


def _swapped(known: Floats, one: Floats, columns: list[int], metric: MetricData | None) -> Floats:
    """Distances `[N]` if `one` were as the other is in some numbers, where both are known."""
    found = []
    for other in known:
        changed = one.copy()
        both = [c for c in columns if np.isfinite(other[c]) and np.isfinite(one[c])]
        changed[both] = other[both]
        found.append(distances(other[None], changed, metric)[0])
    return np.array(found)


def _differs(other: Floats, one: Floats, parts: Floats) -> tuple[Reason, ...]:
    columns, apart = _columns(), _apart(other, one)
    order = sorted((s for s in range(len(columns)) if parts[s] > 0.0), key=lambda s: -parts[s])[:SHOWN]
    at = [max(columns[s], key=lambda c: np.nan_to_num(apart[c], nan=-1.0)) for s in order]
    return tuple(_reason(other, one, c, parts[s]) for s, c in zip(order, at, strict=True))


def _alike(other: Floats, one: Floats, parts: Floats, telling: Floats) -> tuple[Reason, ...]:
    columns, apart = _columns(), _apart(other, one)
    fits = [s for s, own in enumerate(columns) if np.nan_to_num(apart[own], nan=np.inf).max() <= ALIKE]
    order = sorted(fits, key=lambda s: -telling[s])[:SHOWN]
    return tuple(_reason(other, one, columns[s][0], parts[s]) for s in order)


def _apart(other: Floats, one: Floats) -> Floats:
    apart: Floats = np.abs(standardised(other) - standardised(one))
    return apart


def _reason(other: Floats, one: Floats, column: int, part: float) -> Reason:
    q = quantities()[column]
    return Reason(q.name, q.said(one[column]), q.said(other[column]), float(part))
