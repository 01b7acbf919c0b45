"""Files of people, YAML or JSON: read whole, or refused with what is wrong and where."""

import json
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from lwmecps_core.errors import InvalidInput, Violation

MOST_DEEP = 100
"""Mappings and lists inside each other: what reads them further goes down by calling itself."""
MOST_PIECES = 20_000_000
"""Keys and values of a file, those that an alias repeats counted again: so often they are read further."""

MOST_BYTES = 256 * 2**20
"""Of a file; larger recordings stand in files of their own, which `import` reads piece by piece."""
MOST_SEARCHED = 2**20
"""Characters of a file in which the lines of keys that stand twice are looked for."""


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML or JSON file holds.

    Raises `InvalidInput` with the file, and the line where that is known, for what is not readable, holds no mapping,
    or has a key twice, of which a parser would keep the last in silence.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES // 2**20} MiB")
        text = content.decode("utf-8-sig")  # a byte order mark is no part of it
        data = from_json(text) if path.suffix == ".json" else yaml.load(text, Loader=UniqueLoader)
    except KeyTwiceError as error:
        raise InvalidInput(str(path), error.violations) from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InvalidInput(str(path), [Violation(".", f"not readable: {error}")]) from None
    if data is None:
        raise InvalidInput(str(path), [Violation(".", "is empty: it must hold a mapping of keys")])
    if not isinstance(data, dict):
        raise InvalidInput(str(path), [Violation(".", f"must hold a mapping of keys, not {type(data).__name__}")])
    if _deep(data):
        reason = f"is nested over {MOST_DEEP} deep, or an alias (*name) stands inside what it names"
        raise InvalidInput(str(path), [Violation(".", reason)])
    if path.suffix != ".json" and "*" in text and (pieces := _pieces(data, {})) > MOST_PIECES:
        reason = f"aliases (*name) make {pieces:,} values of it, at most {MOST_PIECES:,} are taken: write them out"
        raise InvalidInput(str(path), [Violation(".", reason)])
    return data


def _pieces(data: Any, known: dict[int, int]) -> int:
    if not isinstance(data, dict | list):
        return 1
    if id(data) not in known:
        known[id(data)] = 1 + sum(_pieces(one, known) for one in (data.values() if isinstance(data, dict) else data))
    return known[id(data)]


def _deep(data: Any) -> bool:
    level = [data]
    for _ in range(MOST_DEEP):
        pieces = (piece for one in level for piece in (one.values() if isinstance(one, dict) else one))
        level = list({id(piece): piece for piece in pieces if isinstance(piece, dict | list)}.values())
        if not level:
            return False
    return True


class KeyTwiceError(yaml.YAMLError):
    """Keys that stand twice in one mapping."""

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations
        super().__init__()


class _Unique:
    """What makes a loader refuse a key that stands twice in one mapping."""

    construct_object: Callable[..., Any]

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """A mapping of YAML; keys that `<<` merges into it don't count."""
        lines: dict[Any, list[int]] = {}
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and isinstance(name := self.construct_object(key, True), Hashable):
                lines.setdefault(name, []).append(key.start_mark.line + 1)
        if twice := {key: found for key, found in lines.items() if len(found) > 1}:
            raise KeyTwiceError([Violation(str(key), _stands(found)) for key, found in twice.items()])
        return super().construct_mapping(node, deep)  # type: ignore[misc]


class UniqueLoader(_Unique, yaml.SafeLoader):
    """PyYAML's safe loader, which refuses a key that stands twice in one mapping."""


class FastUniqueLoader(_Unique, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same on libyaml, several times as fast; its messages about what is no YAML say less."""


def _in_tens(kind: str) -> Callable[[Any, Any], Any]:
    """A number of YAML, but for one in base 60: `1:30` is 90 to YAML 1.1, and nobody means that."""

    def number(loader: Any, node: Any) -> Any:
        if ":" in node.value:
            said = f"{node.value} is a number in base 60 to YAML: quote it, or write the number out"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        return getattr(loader, f"construct_yaml_{kind}")(node)

    return number


for _loader in (UniqueLoader, FastUniqueLoader):
    for _kind in ("int", "float"):
        _loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _in_tens(_kind))


def _stands(lines: list[int]) -> str:
    return f"stands {len(lines)} times, in lines {', '.join(map(str, lines))}: keep one"


def from_json(text: str) -> Any:
    """The value of JSON text; raises `KeyTwiceError` for keys that stand twice in an object, else `ValueError`."""
    repeated: set[str] = set()

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            repeated.update(name for name in made if names.count(name) > 1)
        return made

    data = json.loads(text, object_pairs_hook=unique)
    if repeated:
        with suppress(yaml.scanner.ScannerError, yaml.parser.ParserError):
            # JSON's parser knows no lines; that of YAML finds them, and takes seconds for each MiB
            yaml.load(text if len(text) <= MOST_SEARCHED else "", Loader=UniqueLoader)
        raise KeyTwiceError([Violation(name, "stands more than once: keep one") for name in sorted(repeated)])
    return data
