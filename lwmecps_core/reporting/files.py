"""Result rows as files: one line per task and method, or, as LaTeX and Markdown, the table of their means."""

import csv
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path
from typing import Any

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.reporting.streams import stream_table
from lwmecps_core.reporting.texts import COLUMNS, FORMS, cells
from lwmecps_core.results import Row
from lwmecps_core.statistics import summarise

NAMES = tuple(field.name for field in fields(Row))


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write rows in the form that the file's ending names, and folders that are missing.

    Raises `InvalidInput` for an ending that is none of `ENDINGS`, and for one whose library is not installed.
    """
    if path.suffix not in ENDINGS:
        raise InvalidInput(str(path), [Violation(".", f"ending {path.suffix!r} is none of {', '.join(ENDINGS)}")])
    written = ENDINGS[path.suffix](rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(written)


def frame(rows: Sequence[Row]) -> Any:
    """A pandas `DataFrame` with one line per row; raises `InvalidInput` where pandas is not installed."""
    return _pandas().DataFrame([asdict(row) for row in rows], columns=list(NAMES))


def table(rows: Sequence[Row], form: str = "text", *, stream: bool = False) -> str:
    """Means over tasks with 95 % intervals, one line per method, in one of `FORMS`; of a `stream` its matrix."""
    if form not in FORMS:
        raise InvalidInput("table", [Violation("form", f"{form!r} is none of {', '.join(FORMS)}")])
    if stream:
        return FORMS[form](*stream_table(rows))
    return FORMS[form](("method", *COLUMNS), [cells(s) for s in summarise(rows)])


def _pandas() -> Any:
    needed("pandas")
    import pandas  # an extra, and slow to import

    return pandas


def needed(name: str) -> None:
    """Raise `InvalidInput` where a package of the extra `frames` is not installed."""
    if importlib.util.find_spec(name) is None:
        raise InvalidInput("environment", [Violation(name, "is not installed: pip install 'lwmecps[frames]'")])


def _csv(rows: Sequence[Row]) -> bytes:
    file = StringIO(newline="")
    writer = csv.DictWriter(file, fieldnames=NAMES)
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return file.getvalue().encode()


def _json(rows: Sequence[Row]) -> bytes:
    return (json.dumps([asdict(row) for row in rows], indent=1) + "\n").encode()


def _parquet(rows: Sequence[Row]) -> bytes:
    needed("pyarrow")
    data: bytes = frame(rows).to_parquet(index=False)
    return data


ENDINGS: Mapping[str, Callable[[Sequence[Row]], bytes]] = {
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
    ".tex": lambda rows: (table(rows, "latex") + "\n").encode(),
    ".md": lambda rows: (table(rows, "markdown") + "\n").encode(),
}
"""By a file's ending: rows → its bytes."""
