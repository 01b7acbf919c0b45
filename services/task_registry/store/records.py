"""What runs leave behind: metrics, rows of results tables, and traces."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.orm import Session

from lwmecps_core.results import Row
from services.task_registry.database import Database
from services.task_registry.domain import MetricPoint, News, Page, Report, Run, Trace
from services.task_registry.models import MetricRow, ResultRow, TraceRow
from services.task_registry.store.common import StoreContext
from services.task_registry.store.paging import cut_page, digest, page_limit, read_token

ROW_KEY = ("task", "method", "inner_steps", "episode")


class RecordStore:
    """Reads the records of runs; runs write them through their reports."""

    def __init__(self, context: StoreContext) -> None:
        self._database = context.database

    def metrics(self, run_id: str, page_size: int = 0, page_token: str = "", name: str = "") -> Page[MetricPoint]:
        """Points of a run by step, then name; of one metric if given."""
        filters = digest("metrics", run_id, name)
        after, limit = read_token(page_token, filters), page_limit(page_size)
        query = select(MetricRow).where(MetricRow.run_id == run_id).order_by(MetricRow.step, MetricRow.name)
        if name:
            query = query.where(MetricRow.name == name)
        if after:
            query = query.where(tuple_(MetricRow.step, MetricRow.name) > tuple_(*after))
        with self._database.read() as session:
            found = session.scalars(query.limit(limit + 1)).all()
            return cut_page(found, limit, filters, lambda row: [row.step, row.name], _point)

    def rows(self, run_id: str, page_size: int = 0, page_token: str = "") -> Page[Row]:
        """The results table of a run, in the order in which its rows were first reported."""
        filters = digest("rows", run_id)
        after, limit = read_token(page_token, filters), page_limit(page_size)
        query = select(ResultRow).where(ResultRow.run_id == run_id).order_by(ResultRow.position).limit(limit + 1)
        if after:
            query = query.where(ResultRow.position > after[0])
        with self._database.read() as session:
            return cut_page(session.scalars(query).all(), limit, filters, lambda row: [row.position], _result)

    def traces(self, run_id: str, page_size: int = 0, page_token: str = "") -> Page[Trace]:
        """The traces of a run by step."""
        filters = digest("traces", run_id)
        after, limit = read_token(page_token, filters), page_limit(page_size)
        steps = select(TraceRow.step).where(TraceRow.run_id == run_id).distinct().order_by(TraceRow.step)
        if after:
            steps = steps.where(TraceRow.step > after[0])
        with self._database.read() as session:
            found = session.scalars(steps.limit(limit + 1)).all()
            series = select(TraceRow).where(TraceRow.run_id == run_id, TraceRow.step.in_(found[:limit]))
            by_step: dict[int, dict[str, tuple[float, ...]]] = {step: {} for step in found}
            for row in session.scalars(series.order_by(TraceRow.name)):
                by_step[row.step][row.name] = tuple(np.frombuffer(row.values, "<f8").tolist())
        return cut_page(found, limit, filters, lambda step: [step], lambda step: Trace(step, by_step[step]))


def news_of(session: Session, run: Run, after_revision: int, after_step: int) -> News:
    """A run with its metrics (of steps after `after_step`) and rows that are newer than `after_revision`.

    Reports are serialised by the lock on their run, so a revision that was read is complete.
    """
    metrics = select(MetricRow).where(
        MetricRow.run_id == run.id,
        MetricRow.revision > after_revision,
        MetricRow.revision <= run.revision,
        MetricRow.step > after_step,
    )
    rows = select(ResultRow).where(
        ResultRow.run_id == run.id, ResultRow.revision > after_revision, ResultRow.revision <= run.revision
    )
    return News(
        run,
        tuple(_point(row) for row in session.scalars(metrics.order_by(MetricRow.step, MetricRow.name))),
        tuple(_result(row) for row in session.scalars(rows.order_by(ResultRow.position))),
    )


def append(database: Database, session: Session, run: Run, said: Report) -> None:
    """Store what a report carries; what has the same key is replaced."""
    new = {"run_id": run.id, "revision": run.revision}
    points = {
        (p.step, p.name): new
        | {"step": p.step, "name": p.name, "value": None if math.isnan(p.value) else p.value, "time": p.time}
        for p in said.metrics
    }
    _upsert(database, session, MetricRow, list(points.values()), ("run_id", "step", "name"))
    if said.rows:
        last = session.scalar(select(func.max(ResultRow.position)).where(ResultRow.run_id == run.id))
        rows = {}
        for position, row in enumerate(said.rows, 0 if last is None else last + 1):
            key = {name: getattr(row, name) for name in ROW_KEY}
            figures = to_plain({k: v for k, v in vars(row).items() if k not in ROW_KEY})
            rows[tuple(key.values())] = new | key | {"position": position, "figures": figures}
        _upsert(database, session, ResultRow, list(rows.values()), ("run_id", *ROW_KEY), kept=("position",))
    for trace in said.traces:
        session.execute(delete(TraceRow).where(TraceRow.run_id == run.id, TraceRow.step == trace.step))
        session.add_all(
            TraceRow(run_id=run.id, step=trace.step, name=name, values=np.asarray(series, "<f8").tobytes())
            for name, series in trace.series.items()
        )


def to_plain(numbers: Mapping[str, float | None]) -> dict[str, Any]:
    """Numbers as JSON can hold them: NaN and infinities as words; without what is None."""
    return {name: value if math.isfinite(value) else str(value) for name, value in numbers.items() if value is not None}


def from_plain(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `to_plain`."""
    return {name: float(value) if isinstance(value, str) else value for name, value in plain.items()}


def _upsert(
    database: Database,
    session: Session,
    table: Any,
    rows: list[dict[str, Any]],
    key: tuple[str, ...],
    kept: tuple[str, ...] = (),
) -> None:
    if not rows:
        return
    insert = database.insert(table)
    replaced = {name: insert.excluded[name] for name in rows[0] if name not in key + kept}
    session.execute(insert.on_conflict_do_update(index_elements=list(key), set_=replaced), rows)


def _point(row: MetricRow) -> MetricPoint:
    return MetricPoint(row.name, row.step, math.nan if row.value is None else row.value, row.time)


def _result(row: ResultRow) -> Row:
    return Row(**{name: getattr(row, name) for name in ROW_KEY}, **from_plain(row.figures))
