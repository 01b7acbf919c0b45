"""The elements of one long list in a JSON file, read one after the other: only one of them is in memory."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput
from lwmecps_core.reading import KeyTwiceError, from_json
from lwmecps_core.tasks.importers import scan
from lwmecps_core.tasks.importers.tables import BOM, LONGEST_ROW, NO_TEXT, PIECE, opened, read, refused, size_of

MOST_AROUND = 2**24
"""Bytes that may stand around the list."""
AT_ONCE = 2**16
"""Elements that are looked for at once."""
UNPARSABLE = (ValueError, RecursionError)


def around(path: Path, key: str, depth: int) -> Any:
    """The value in a JSON file without what is in the list under `key`, inside of `depth` brackets: there, it is empty.

    Raises `InvalidInput` for what is no JSON, holds much more than such a list, or a key twice.
    """
    pieces, size = [], 0
    for piece, inside in _walk(path, key, depth):
        if not inside:
            pieces.append(piece)
            size += len(piece)
        if size > MOST_AROUND:
            reason = f"has over {MOST_AROUND:,} bytes outside of a list {key!r}, which is what is read in pieces"
            raise refused(path, ".", f"{reason} ({size_of(path)})")
    try:
        return parsed(path, ".", b"".join(pieces), from_json)
    except KeyTwiceError as error:
        raise InvalidInput(str(path), error.violations) from None


def elements(path: Path, key: str, depth: int) -> Iterator[bytes]:
    """The texts of the elements of that list; raises `InvalidInput` for one of over 64 MiB."""
    return (piece for piece, inside in _walk(path, key, depth) if inside)


def parsed(path: Path, where: str, text: bytes, load: Callable[[str], Any] = json.loads) -> Any:
    """The value that JSON text stands for; raises `InvalidInput` where there is none."""
    try:
        return load(text.decode())
    except UnicodeDecodeError as error:
        raise refused(path, where, f"{NO_TEXT}: {error}") from None
    except UNPARSABLE as error:
        raise refused(path, where, f"not readable as JSON: {error}") from None


def _walk(path: Path, key: str, depth: int) -> Iterator[tuple[bytes, bool]]:
    """All text in pieces, and whether each is an element of the list, whose commas are left out."""
    state, name = np.zeros(6, np.int64), np.frombuffer(key.encode(), np.uint8)
    starts, ends = np.empty(AT_ONCE, np.int64), np.empty(AT_ONCE, np.int64)
    left, piece = b"", b"."
    with opened(path) as file:
        first, told = True, 0
        while piece:
            piece = read(path, file, PIECE)
            data: NDArray[np.uint8] = np.frombuffer(left + (piece.removeprefix(BOM) if first else piece), np.uint8)
            first = False
            while state[scan.AT] < len(data):
                inside = bool(state[scan.INSIDE])
                count = scan.elements(data, name, depth, state, starts, ends)
                if inside:
                    yield from ((data[starts[k] : ends[k]].tobytes(), True) for k in range(count))
                    if not state[scan.INSIDE]:
                        told = int(state[scan.AT]) - 1
                else:
                    yield data[told : state[scan.AT]].tobytes(), False
                    told = min(int(state[scan.AT]), len(data))
            # What stands before an element, or the last string, must stay in sight.
            shift = max(0, int(state[scan.BEGUN]) - 1)
            left = data[shift:].tobytes()
            state[[scan.AT, scan.BEGUN, scan.ENDED]] -= shift
            told -= shift
            if len(left) > LONGEST_ROW + PIECE:
                raise refused(path, key, f"has an element, or text, of over {LONGEST_ROW:,} bytes: a quote left open?")
    if state[scan.INSIDE]:
        raise refused(path, key, "is cut off: the file ends inside of this list")
