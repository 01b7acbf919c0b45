"""What runs leave behind: metrics, rows of results tables, and traces."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from lwmecps_core.progress import Row
from services.task_registry.database import Database
from services.task_registry.domain import MetricPoint, Page
from services.task_registry.models import MetricRow, ResultRow, TraceRow
from services.task_registry.store.common import Context
from services.task_registry.store.paging import cut_page, digest, page_limit, read_token

ROW_KEY = ("task", "method", "inner_steps")


class RecordStore:
    """Reads the records of runs; runs write them through their reports."""

    def __init__(self, context: Context) -> None:
        self._database = context.database

    def metrics(
        self, run_id: str, page_size: int = 0, page_token: str = "", names: Collection[str] = (), after_step: int = -1,
    ) -> Page[MetricPoint]:  # fmt: skip
        """Points of a run by step, then name; of the given names and later than `after_step` if given."""
        filters = digest("metrics", run_id, sorted(names), after_step)
        after, limit = read_token(page_token, filters), page_limit(page_size)
        query = select(MetricRow).where(MetricRow.run_id == run_id, MetricRow.step > after_step)
        query = query.order_by(MetricRow.step, MetricRow.name).limit(limit + 1)
        if names:
            query = query.where(MetricRow.name.in_(list(names)))
        if after:
            query = query.where(tuple_(MetricRow.step, MetricRow.name) > tuple_(*after))
        with self._database.read() as session:
            return cut_page(session.scalars(query).all(), limit, filters, lambda row: [row.step, row.name], _point)

    def rows(self, run_id: str) -> tuple[Row, ...]:
        """The results table of a run, in the order in which its rows were reported."""
        query = select(ResultRow).where(ResultRow.run_id == run_id).order_by(ResultRow.position)
        with self._database.read() as session:
            return tuple(
                Row(task=row.task, method=row.method, inner_steps=row.inner_steps, **from_plain(row.figures))
                for row in session.scalars(query)
            )

    def trace(self, run_id: str) -> dict[str, tuple[float, ...]]:
        """The newest trace of a run: series by name."""
        query = select(TraceRow).where(TraceRow.run_id == run_id).order_by(TraceRow.step, TraceRow.name)
        with self._database.read() as session:
            found = session.scalars(query).all()
        return {t.name: tuple(np.frombuffer(t.values, "<f8").tolist()) for t in found if t.step == found[-1].step}


def append_metrics(database: Database, session: Session, run_id: str, points: Iterable[MetricPoint]) -> None:
    """Store points; one that is there already (same name and step) takes the new value."""
    rows = {
        (point.step, point.name): {
            "run_id": run_id, "step": point.step, "name": point.name, "time": point.time,
            "value": None if math.isnan(point.value) else point.value,
        }
        for point in points
    }  # fmt: skip
    _upsert(database, session, MetricRow, list(rows.values()), ("run_id", "step", "name"))


def append_rows(database: Database, session: Session, run_id: str, rows: Collection[Row]) -> None:
    """Store rows at the end of the results table; one with the same key is replaced."""
    if not rows:
        return
    last = session.scalar(select(func.max(ResultRow.position)).where(ResultRow.run_id == run_id))
    plain = {}
    for position, row in enumerate(rows, 0 if last is None else last + 1):
        figures = to_plain({k: v for k, v in vars(row).items() if k not in ROW_KEY})
        key = {name: getattr(row, name) for name in ROW_KEY}
        plain[tuple(key.values())] = key | {"run_id": run_id, "position": position, "figures": figures}
    _upsert(database, session, ResultRow, list(plain.values()), ("run_id", *ROW_KEY))


def append_trace(
    database: Database, session: Session, run_id: str, step: int, trace: Mapping[str, Iterable[float]]
) -> None:
    """Store the series of one step."""
    rows = [
        {"run_id": run_id, "step": step, "name": name, "values": np.asarray(tuple(series), "<f8").tobytes()}
        for name, series in trace.items()
    ]
    _upsert(database, session, TraceRow, rows, ("run_id", "step", "name"))


def to_plain(numbers: Mapping[str, float]) -> dict[str, Any]:
    """Numbers as JSON can hold them: NaN and infinities as words."""
    return {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}


def from_plain(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `to_plain`."""
    return {name: float(value) if isinstance(value, str) else value for name, value in plain.items()}


def _upsert(
    database: Database, session: Session, table: Any, rows: list[dict[str, Any]], key: tuple[str, ...]
) -> None:
    if not rows:
        return
    insert = database.insert(table)
    rest = {name: insert.excluded[name] for name in rows[0] if name not in key}
    session.execute(insert.on_conflict_do_update(index_elements=list(key), set_=rest), rows)


def _point(row: MetricRow) -> MetricPoint:
    return MetricPoint(row.name, row.step, math.nan if row.value is None else row.value, row.time)
