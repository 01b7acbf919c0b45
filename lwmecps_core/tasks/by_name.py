"""What a workload says of nodes and deployments by their names, put in their order."""

from collections.abc import Mapping, Sequence
from typing import Any

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.tasks.names import natural


def by_position(
    workload: Mapping[str, Any], nodes: Sequence[str], deployments: Sequence[str], source: str
) -> dict[str, Any]:
    """A workload's keys with lists in the order of `nodes` and `deployments` where mappings or names stand.

    `base_users`, `phase` and `failover` may be mappings of nodes, `recorded_users` one of nodes to their steps, `share`
    one of nodes to a mapping of deployments (0 for those left out); `failover` may name deployments. One number as
    `base_users` holds for every node. Raises `InvalidInput` with both lists for a mapping of other nodes.
    """
    plain = dict(workload)
    for key in ("base_users", "phase", "failover", "share", "recorded_users"):
        if isinstance(plain.get(key), Mapping):
            plain[key] = _in_order(plain[key], nodes, f"workload.{key}", source)
            if key == "recorded_users":
                plain[key] = _steps(plain[key], nodes, source)
    users = plain.get("base_users")
    if isinstance(users, int | float) and not isinstance(users, bool) and users >= 0:
        plain["base_users"] = [users] * len(nodes)
    elif users is not None and not isinstance(users, list | tuple):
        plain["base_users"] = [users]  # refused once, whatever it is
    if isinstance(plain.get("share"), list):
        plain["share"] = [
            [row.get(name, 0.0) for name in deployments] if _knows(row, deployments, f"share[{m}]", source) else row
            for m, row in enumerate(plain["share"])
        ]
    if isinstance(plain.get("failover"), list):
        plain["failover"] = [
            [_index(item, deployments, f"workload.failover[{m}]", source) for item in row]
            if isinstance(row, list)
            else row
            for m, row in enumerate(plain["failover"])
        ]
    return plain


def _in_order(values: Mapping[str, Any], nodes: Sequence[str], field: str, source: str) -> list[Any]:
    if set(values) != set(nodes):
        mine = ", ".join(sorted(map(str, values), key=natural))
        reason = f"names {mine}, but the nodes are {', '.join(nodes)}: give every node its own"
        raise InvalidInput(source, [Violation(field, reason)])
    return [values[name] for name in nodes]


def _steps(columns: Sequence[Any], nodes: Sequence[str], source: str) -> list[list[Any]]:
    lengths = [len(column) if isinstance(column, list) else 0 for column in columns]
    if len(set(lengths)) > 1 or 0 in lengths:
        shown = ", ".join(f"{name} {length}" for name, length in zip(nodes, lengths, strict=True))
        reason = f"nodes differ in how many steps they have ({shown})"
        raise InvalidInput(source, [Violation("workload.recorded_users", reason)])
    return [list(row) for row in zip(*columns, strict=True)]


def _knows(row: Any, deployments: Sequence[str], field: str, source: str) -> bool:
    if not isinstance(row, Mapping):
        return False
    for name in row:
        _index(str(name), deployments, f"workload.{field}", source)
    return True


def _index(item: Any, deployments: Sequence[str], field: str, source: str) -> Any:
    if not isinstance(item, str):
        return item
    if item not in deployments:
        reason = f"{item!r} is none of the deployments {', '.join(deployments)}"
        raise InvalidInput(source, [Violation(field, reason)])
    return list(deployments).index(item)
