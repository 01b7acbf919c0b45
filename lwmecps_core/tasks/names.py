"""Two named sets are joined by name, never by position where a name says otherwise."""

import re
from collections.abc import Callable, Collection, Sequence

from lwmecps_core.errors import InvalidInput, Violation


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts `bs2` before `bs10`."""
    return [
        (False, int(part), "") if part.isdecimal() else (True, 0, part) for part in re.split(r"(\d+)", name) if part
    ]


def canonical(name: str) -> str:
    """A name as Kubernetes would write it: `BS_1` and `bs-1` are one."""
    return name.lower().replace("_", "-")


def finder(names: Sequence[str]) -> Callable[[str], int | None]:
    """What finds a name's place among `names`: that of the same one, or else of the only one with this `canonical`."""
    same, alike = {name: i for i, name in enumerate(names)}, dict[str, int | None]()
    for i, name in enumerate(names):
        alike[canonical(name)] = None if canonical(name) in alike else i
    return lambda name: same.get(name, alike.get(canonical(name)))


def agree(some: Collection[str], others: Collection[str], what: str, to: str, source: str) -> bool:
    """Whether every one of `some` is among `others`, by name.

    Raises `InvalidInput` with both lists where only a part of them is, or several are one name.
    """
    mine, theirs = {canonical(name) for name in some}, {canonical(name) for name in others}
    if mine & theirs and not (mine <= theirs and len(mine) == len(some) and len(theirs) == len(others)):
        raise InvalidInput(source, [Violation(what, _lists(some, others, what, to))])
    return bool(mine & theirs)


def joined(some: Sequence[str], others: Sequence[str], what: str, to: str, source: str) -> tuple[list[int], list[str]]:
    """The index in `some` of the partner of each of `others`, and what was assumed.

    Partners have one name; where no name is in both, `some` in natural order follow `others` as they stand. Raises
    `InvalidInput` with both lists where they differ in number, or only some names are in both.
    """
    at, theirs = {canonical(name): i for i, name in enumerate(some)}, {canonical(name) for name in others}
    if len(at) != len(others) or (at.keys() & theirs and at.keys() != theirs):
        raise InvalidInput(source, [Violation(what, _lists(some, others, what, to))])
    if at.keys() == theirs:
        return [at[canonical(name)] for name in others], []
    order = sorted(range(len(some)), key=lambda i: natural(some[i]))
    pairs = ", ".join(f"{some[i]} to {name}" for i, name in zip(order, others, strict=True))
    return order, [f"{what} and {to} have no name in common, and are joined in natural order: {pairs}"]


def _lists(some: Collection[str], others: Collection[str], what: str, to: str) -> str:
    return (
        f"the {len(some)} {what} ({', '.join(sorted(some, key=natural))}) and the {len(others)} {to} "
        f"({', '.join(sorted(others, key=natural))}) must have the same names, or none in common and the same number"
    )
