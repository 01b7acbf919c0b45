"""Links between nodes as people measure them: round trips, from one end or from both, or delays one way."""

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lwmecps_core.config import config
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import Name, NonNegative

Symmetrise = Literal["mean", "max"]
Pair = tuple[int, int]


@config
class Link:
    """Latency between two nodes: `between` both, or measured `from` one `to` the other; round trip or one way."""

    between: tuple[Name, Name] | None = None
    from_: Annotated[Name | None, Field(alias="from")] = None
    to: Name | None = None
    rtt_ms: NonNegative | None = None
    one_way_ms: NonNegative | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        ends = (self.from_ is not None, self.to is not None)
        if ends not in ((True, True), (False, False)) or all(ends) == (self.between is not None):
            raise ValueError("names its nodes by between: [a, b], or by from: a, to: b")
        if (self.rtt_ms is None) == (self.one_way_ms is None):
            raise ValueError("has either rtt_ms or one_way_ms")
        if self.one_way_ms is not None and self.between:
            raise ValueError("one_way_ms needs from and to: it is the delay in one direction")
        return self

    @property
    def ends(self) -> tuple[Name, Name]:
        """The two nodes, the one that measured first."""
        return self.between or (str(self.from_), str(self.to))


def round_trips(
    names: Sequence[str], access_ms: Sequence[float], links: Sequence[Link], symmetrise: Symmetrise | None, source: str
) -> tuple[NDArray[np.float64], list[str]]:
    """Round trips `[N, N]` in ms, symmetric, and what was assumed.

    A pair without a link goes through the core: the sum of both nodes' `access_ms`. Round trips measured from both ends
    become one as `symmetrise` says (mean where it says nothing); one-way delays of both directions are added. Raises
    `InvalidInput` for links that name no two nodes, stand twice, or lack the way back.
    """
    n = len(names)
    rtt, ways = np.zeros((n, n)), _ways(names, links, source)
    for i, j in combinations(range(n), 2):
        rtt[i, j] = rtt[j, i] = access_ms[i] + access_ms[j]
    problems, differ = [], []
    for (i, j), k in ways.items():
        there, back = links[k], ways.get((j, i))
        if there.one_way_ms is not None:
            if back is None or (way_back := links[back].one_way_ms) is None:
                reason = f"lacks the way back: one_way_ms from {names[j]} to {names[i]}"
                problems.append(Violation(f"links[{k}]", reason))
                continue
            rtt[i, j] = there.one_way_ms + way_back
            continue
        if back is None:
            rtt[i, j] = rtt[j, i] = there.rtt_ms
        elif (other := links[back].rtt_ms) is not None:
            rtt[i, j] = one_of(there.rtt_ms, other, symmetrise)
            if other != there.rtt_ms and i < j:
                differ.append(f"{names[i]}-{names[j]} {there.rtt_ms:g} and {other:g}")
    if problems:
        raise InvalidInput(source, problems)
    how = f"symmetrise: {symmetrise}" if symmetrise else "the mean counts (symmetrise: max takes the larger)"
    return rtt, [f"round trips in ms measured differently from both ends: {'; '.join(differ)}: {how}"] if differ else []


def one_of(a: Any, b: Any, symmetrise: Symmetrise | None) -> Any:
    """One round trip of two that were measured from both ends; arrays too."""
    return np.maximum(a, b) if symmetrise == "max" else (a + b) / 2.0


def symmetric(cluster: dict[str, Any], source: str) -> dict[str, Any]:
    """The keys of a `ClusterSpec` with a symmetric `rtt_ms`: by the `symmetrise` beside it, or the sum of both ways of
    `one_way_ms`, a matrix of delays from each node (row) to each other.

    Raises `InvalidInput` for another `symmetrise`, and for delays beside round trips.
    """
    rest = dict(cluster)
    how, one_way = rest.pop("symmetrise", None), rest.pop("one_way_ms", None)
    if how not in (None, "mean", "max"):
        raise InvalidInput(source, [Violation("cluster.symmetrise", f"{how!r} is neither mean nor max")])
    if one_way is not None and "rtt_ms" in rest:
        raise InvalidInput(source, [Violation("cluster.one_way_ms", "can't stand beside rtt_ms: give one of the two")])
    if how is None and one_way is None:
        return rest
    field = "rtt_ms" if one_way is None else "one_way_ms"
    try:
        matrix = np.array(rest.get("rtt_ms") if one_way is None else one_way, dtype=np.float64)
        joined = matrix + matrix.T if one_way is not None else one_of(matrix, matrix.T, how)
    except (TypeError, ValueError):
        raise InvalidInput(source, [Violation(f"cluster.{field}", "must be a square matrix of numbers")]) from None
    return rest | {"rtt_ms": joined.tolist()}


def _ways(names: Sequence[str], links: Sequence[Link], source: str) -> dict[Pair, int]:
    """The index of the link of every measured direction; one `between` two nodes stands for both."""
    ways: dict[Pair, int] = {}
    problems = []
    for k, link in enumerate(links):
        where = [f"links[{k}].between[{e}]" if link.between else f"links[{k}].{('from', 'to')[e]}" for e in range(2)]
        unknown = [Violation(w, f"{name!r} is not in node_name") for w, name in zip(where, link.ends, strict=True)]
        unknown = [v for v, name in zip(unknown, link.ends, strict=True) if name not in names]
        problems += unknown
        if unknown:
            continue
        i, j = (names.index(name) for name in link.ends)
        if i == j:
            problems.append(Violation(f"links[{k}]", f"must name two different nodes, not {names[i]!r} twice"))
        for way in {(i, j), (j, i)} if link.between else {(i, j)}:
            if (other := ways.setdefault(way, k)) != k:
                reason = f"{names[i]} to {names[j]} is in links[{other}] already"
                problems.append(Violation(f"links[{k}]", reason))
    if problems:
        raise InvalidInput(source, list(dict.fromkeys(problems)))
    return ways
