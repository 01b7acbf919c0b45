"""What files of scenarios in JSON hold: keys that stand once, numbers that can be, ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lwmecps_core.errors import InvalidInput
from lwmecps_core.reading import KeyTwiceError, from_json
from lwmecps_core.tasks.importers.tables import refused, whole

MOST = 1e18
"""Of any number: YAFS writes 9999999999999999 for memory without an end, and nothing has more."""


def scenario(file: Path) -> Any:
    """What a JSON file holds; raises `InvalidInput` for other files, and for a key that stands twice in one object."""
    try:
        return from_json(whole(file))
    except KeyTwiceError as error:
        raise InvalidInput(str(file), error.violations) from None
    except (ValueError, RecursionError) as error:
        raise refused(file, ".", f"not readable as JSON: {error}") from None


def field(file: Path, where: str, one: Any, key: str) -> Any:
    """What stands under a key that must be there."""
    if not isinstance(one, Mapping) or key not in one:
        raise refused(file, where, f"has no {key}")
    return one[key]


def number(file: Path, where: str, value: Any) -> float:
    """A number of 0 or more; raises `InvalidInput` for others, and for one that no unit makes right."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < float("inf"):
        raise refused(file, where, f"{_short(value)} is no number of 0 or more")
    if value > MOST:
        raise refused(file, where, f"{_short(value)} is over {MOST:g}: is this the right unit?")
    return float(value)


def identity(file: Path, where: str, value: Any) -> str:
    """An id as text: `7` and `"7"` are one. Raises `InvalidInput` for what is neither a whole number nor text."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise refused(file, where, f"{_short(value)} is no id: a whole number or a text")
    return str(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
