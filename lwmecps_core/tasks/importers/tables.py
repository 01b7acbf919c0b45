"""Tables of text (CSV, TSV), read in pieces of a few MiB, plain or compressed."""

import bz2
import csv
import gzip
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.tasks.importers import scan

PIECE, LONGEST_ROW = 2**22, 2**26
"""Bytes that are read at once, and the most that one row may have."""
MOST_ROWS, MOST_FIELDS = 2**17, 2**21
"""What is handed on at once."""
MOST_NAMES = 2**20
MIB = 2**20
MOST_WHOLE = 32 * MIB
"""Of files that are not read in pieces: what is made of one takes ten times as much."""
NO_NUMBER = "is no number (digits with a decimal point, and nothing between thousands)"
SHOWN = 400
"""Characters of a header that are shown."""
BOM = b"\xef\xbb\xbf"
NO_TEXT = "is not UTF-8 (a compressed file ends with .gz, .bz2 or .xz; save others as UTF-8)"
UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)
OPEN: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""Ending of a compressed file → what reads it."""

ARCHIVES = {".tar", ".tgz", ".zip", ".7z"}

Floats = NDArray[np.float64]


def opened(path: Path) -> IO[bytes]:
    """The bytes of a file, of a compressed one (`OPEN`) what is in it; raises `InvalidInput` where there is none."""
    if ARCHIVES & set(map(str.lower, path.suffixes)):
        raise refused(path, ".", "is an archive: unpack it, and give the files that are meant")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise refused(
            path, ".", "is no file, but a pipe or device: save what comes from there, it is read several times"
        )
    try:
        return cast("IO[bytes]", OPEN.get(path.suffix.lower(), open)(path, "rb"))
    except OSError as error:
        raise refused(path, ".", f"not readable: {error}") from None


def read(path: Path, file: IO[bytes], most: int = PIECE) -> bytes:
    """The next bytes of an opened file; raises `InvalidInput` where they can't be had."""
    try:
        return file.read(most)
    except UNREADABLE as error:
        raise refused(path, ".", f"not readable: {error}") from None


def whole_bytes(path: Path, most: int, advice: str = "") -> bytes:
    """All bytes of a file that is not read in pieces; raises `InvalidInput`, with `advice`, for over `most`."""
    with opened(path) as file:
        data = read(path, file, most + 1)
    if len(data) > most:
        reason = f"is too large ({size_of(path)}): at most {most / MIB:g} MiB of such files are read"
        raise refused(path, ".", f"{reason}{advice and f'; {advice}'}")
    return data


def size_of(path: Path) -> str:
    """How large a file is, for people."""
    packed = " packed" if path.suffix.lower() in OPEN else ""
    return f"{path.stat().st_size / MIB:.3g} MiB{packed}"


def whole(path: Path, most: int = MOST_WHOLE, advice: str = "") -> str:
    """The text of a file that is not read in pieces; raises `InvalidInput` for other than UTF-8, or over `most` bytes.

    A byte order mark is no part of it.
    """
    data = whole_bytes(path, most, advice)
    try:
        return data.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        raise refused(path, ".", f"{NO_TEXT}: {error}") from None


def refuse_twice(files: Sequence[Path]) -> None:
    """Raise `InvalidInput` for a file that is given twice: its load or users would count double."""
    seen: set[Path] = set()
    for path in files:
        if path.resolve() in seen:
            raise refused(path, ".", "is given twice")
        seen.add(path.resolve())


def refuse_names_twice(path: Path, names: Sequence[str]) -> None:
    """Raise `InvalidInput` for columns of one name."""
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise refused(path, "line 1", f"columns stand twice: {', '.join(map(repr, twice))}")


def refused(path: Path, where: str, reason: str) -> InvalidInput:
    """An error about one place of a file."""
    return InvalidInput(str(path), [Violation(where, reason)])


@dataclass(frozen=True)
class Rows:
    """Some whole rows: `data` are bytes, `starts` and `ends` `[R, C]` where fields are, `lines` `[R]` counts from 1."""

    path: Path
    columns: tuple[str, ...]
    data: NDArray[np.uint8]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: NDArray[np.int64]) -> "Rows":
        """Some of the rows."""
        return replace(self, starts=self.starts[rows], ends=self.ends[rows], lines=self.lines[rows])

    def text(self, row: int, column: int) -> str:
        """What stands in a field."""
        raw = bytes(self.data[self.starts[row, column] : self.ends[row, column]])
        try:
            return raw.decode().replace('""', '"').strip()
        except UnicodeDecodeError:
            raise self.refused(row, column, f"{raw!r} is not UTF-8") from None

    def refused(self, row: int, column: int, reason: str) -> InvalidInput:
        """An error about one field."""
        return refused(self.path, f"line {self.lines[row]}, {self.columns[column]}", reason)

    def numbers(self, first: int, last: int, what: str, least: float = 0.0) -> Floats:
        """The numbers in columns `first` … `last − 1`, NaN where nothing stands.

        Raises `InvalidInput` with file, line and value of the first that is none, infinite or below `least`.
        """
        out = np.empty((len(self), last - first))
        at = scan.numbers(self.data, self.starts[:, first:last], self.ends[:, first:last], least, out)
        if at >= 0:
            row, column = divmod(at, last - first)
            text = self.text(row, first + column)
            raise self.refused(row, first + column, f"{text!r} {_fault(text, least)}: {what}")
        return out


def _fault(text: str, least: float) -> str:
    """Why `scan.numbers` takes a text for no number; Python reads more texts as numbers (1_000)."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value < least:
        return f"is below {least:g}"
    return NO_NUMBER if np.isfinite(value) else "is no finite number"


@dataclass
class Names:
    """Texts in the order in which they were first seen, found again by their hash.

    Those that differ in quotes and spaces around them only, and so in their hashes, are the same.
    """

    texts: list[tuple[str, ...]] = field(default_factory=list)
    at: dict[int, int] = field(default_factory=dict)
    known: dict[tuple[str, ...], int] = field(default_factory=dict)

    def of(self, rows: Rows, columns: Sequence[int]) -> NDArray[np.int64]:
        """The index of each row's texts in `columns`; raises `InvalidInput` for an empty one."""
        found = np.empty(len(rows), np.uint64)
        take = list(columns)
        scan.hashes(rows.data, rows.starts[:, take], rows.ends[:, take], found)
        hashes, first, inverse = np.unique(found, return_index=True, return_inverse=True)
        known = np.empty(len(hashes), np.int64)
        for i in np.argsort(first):
            key = int(hashes[i])
            if key not in self.at:
                self._add(key, rows, int(first[i]), take)
            known[i] = self.at[key]
        return known[inverse]

    def _add(self, key: int, rows: Rows, row: int, columns: Sequence[int]) -> None:
        texts = tuple(rows.text(row, column) for column in columns)
        if "" in texts:
            raise rows.refused(row, columns[texts.index("")], "is empty: a name must stand here")
        if texts in self.known:
            self.at[key] = self.known[texts]
            return
        if len(self.texts) == MOST_NAMES:
            raise rows.refused(row, columns[0], f"more than {MOST_NAMES:,} different names: is this the right column?")
        self.at[key] = self.known[texts] = len(self.texts)
        self.texts.append(texts)


@dataclass(frozen=True)
class Table:
    """A table with a header in a file; `delimiter` is one character."""

    path: Path
    delimiter: str = ","

    def header(self) -> list[str]:
        """The names of the columns; raises `InvalidInput` for a file without, or with a name that stands twice."""
        with opened(self.path) as file:
            try:
                line = file.readline(LONGEST_ROW).removeprefix(BOM).decode()
                names = [name.strip() for name in next(csv.reader([line], delimiter=self.delimiter), [])]
            except UnicodeDecodeError as error:
                raise refused(self.path, "line 1", f"{NO_TEXT}: {error}") from None
            except csv.Error:
                reason = "is no header: a quote left open, or lines that end with a carriage return only"
                raise refused(self.path, "line 1", reason) from None
            except UNREADABLE as error:
                raise refused(self.path, ".", f"not readable: {error}") from None
        if not any(names):
            raise refused(self.path, "line 1", "must be a header with the names of the columns")
        refuse_names_twice(self.path, names)
        return names

    def column(self, header: Sequence[str], name: str, option: str) -> int:
        """The index of a column; raises `InvalidInput` with the columns that there are."""
        if name not in header:
            shown = ", ".join(header[:20]) + (f" and {len(header) - 20} more" if len(header) > 20 else "")
            alone = f" (fields are separated by {self.delimiter!r})" if len(header) == 1 else ""
            raise refused(self.path, "line 1", f"{option}: no column {name!r} among {shown[:SHOWN]}{alone}")
        return list(header).index(name)

    def rows(self, header: Sequence[str], wanted: Sequence[int]) -> Iterator[Rows]:
        """All rows in pieces, with the `wanted` columns only.

        Raises `InvalidInput` with the line of a row that has another number of fields than the header.
        """
        slots = np.full(len(header), -1, np.int64)
        slots[list(wanted)] = np.arange(len(wanted))
        columns = tuple(header[i] for i in wanted)
        most = max(1, min(MOST_ROWS, MOST_FIELDS // max(1, len(wanted))))
        line, skip, left, final = 1, 1, b"", False  # the header is skipped
        with opened(self.path) as file:
            while not final:
                piece = read(self.path, file)
                final = len(piece) < PIECE
                rest: NDArray[np.uint8] = np.frombuffer(
                    left + (piece.removeprefix(BOM) if line == 1 else piece), np.uint8
                )
                rows = most
                while rows == most:
                    starts = np.empty((most, len(wanted)), np.int32)
                    ends, lines = np.empty_like(starts), np.empty(most, np.int64)
                    found = scan.split(rest, len(rest), final, ord(self.delimiter), slots, starts, ends, lines)
                    rows, used, passed, fields = found
                    lines += line
                    if fields:
                        where = lines[rows] if fields > 0 else line + passed
                        raise refused(self.path, f"line {where}", _odd(fields, header))
                    if rows > skip:
                        part = slice(skip, rows)
                        yield Rows(self.path, columns, rest, starts[part], ends[part], lines[part])
                    skip, line, rest = max(0, skip - rows), line + passed, rest[used:]
                left = rest.tobytes()
                if len(left) > LONGEST_ROW:
                    raise refused(
                        self.path, f"line {line}", f"is longer than {LONGEST_ROW:,} bytes: a quote left open?"
                    )


def _odd(fields: int, header: Sequence[str]) -> str:
    if fields < 0:
        return "a quote that nothing closes, or text behind a closing quote"
    return f"has {fields} fields, but the header has {len(header)} columns"
