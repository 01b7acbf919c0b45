"""Metrics, results tables and traces, on each database."""

import math
from dataclasses import replace

import pytest

from lwmecps_core.errors import Conflict
from lwmecps_core.results import Row
from services.task_registry.domain import MetricPoint, Report, Run, RunState, Trace
from services.task_registry.store import Store
from tests.task_registry.making import Clock, claimed

ROW = Row(
    task="t1",
    method="adapted",
    inner_steps=5,
    reward=-12.5,
    latency_mean_ms=80.0,
    latency_p95_ms=120.0,
    replicas_mean=6.5,
    sla_miss_share=0.01,
    moves_mean=1.5,
    load_correlation=0.9,
    env_steps=9600,
    wall_s=1.25,
)


def report(store: Store, run: Run, clock: Clock, step: int, **values: float) -> None:
    points = tuple(MetricPoint(name, step, value, clock()) for name, value in values.items())
    store.runs.report(run.id, run.token, Report(step=step, metrics=points))


def test_metrics_are_listed_by_step_and_name_in_pages(store: Store, clock: Clock) -> None:
    run = claimed(store)
    for step in range(20):
        report(store, run, clock, step, meta_loss=-step, gradient_norm=step / 10)
    seen, token = [], ""
    while True:
        page = store.records.metrics(run.id, page_size=7, page_token=token)
        seen += [(point.step, point.name) for point in page.items]
        token = page.next_page_token
        if not token:
            break
    assert seen == [(step, name) for step in range(20) for name in ("gradient_norm", "meta_loss")]


def test_metrics_are_filtered_by_name(store: Store, clock: Clock) -> None:
    run = claimed(store)
    for step in range(3):
        report(store, run, clock, step, a=step, b=0)
    points = store.records.metrics(run.id, name="a").items
    assert points == tuple(MetricPoint("a", step, step, clock()) for step in range(3))


def test_the_same_point_reported_twice_is_stored_once(store: Store, clock: Clock) -> None:
    run = claimed(store)
    for value in (1.0, 2.0):
        report(store, run, clock, 1, meta_loss=value)
    assert [point.value for point in store.records.metrics(run.id).items] == [2.0]


def test_a_batch_that_names_a_point_twice_takes_the_last(store: Store, clock: Clock) -> None:
    run = claimed(store)
    points = tuple(MetricPoint("x", 1, value, clock()) for value in (1.0, 3.0))
    store.runs.report(run.id, run.token, Report(metrics=points))
    assert [point.value for point in store.records.metrics(run.id).items] == [3.0]


def test_a_run_carries_the_newest_value_of_every_metric(store: Store, clock: Clock) -> None:
    run = claimed(store)
    report(store, run, clock, 1, a=1, b=1)
    report(store, run, clock, 2, a=2)
    assert store.runs.get(run.id).latest_metrics == {"a": 2.0, "b": 1.0}


def test_values_that_are_no_numbers_survive(store: Store, clock: Clock) -> None:
    run = claimed(store)
    report(store, run, clock, 1, a=math.nan, b=math.inf)
    points = {point.name: point.value for point in store.records.metrics(run.id).items}
    latest = store.runs.get(run.id).latest_metrics
    assert math.isnan(points["a"]) and math.isnan(latest["a"])
    assert points["b"] == latest["b"] == math.inf


def test_the_results_table_comes_back_in_the_order_of_first_reports(store: Store) -> None:
    run = claimed(store)
    rows = [replace(ROW, inner_steps=k, reward=-10.0 + k) for k in (2, 0, 1)]
    store.runs.report(run.id, run.token, Report(rows=tuple(rows[:2])))
    better = replace(rows[0], reward=-1.0)
    store.runs.report(run.id, run.token, Report(rows=(better, rows[2])))
    assert list(store.records.rows(run.id).items) == [better, rows[1], rows[2]]
    page = store.records.rows(run.id, page_size=2)
    assert store.records.rows(run.id, page_token=page.next_page_token).items == (rows[2],)


def test_a_results_row_may_hold_nan(store: Store) -> None:
    run = claimed(store)
    store.runs.report(run.id, run.token, Report(rows=(replace(ROW, load_correlation=math.nan),)))
    assert math.isnan(store.records.rows(run.id).items[0].load_correlation)


def test_traces_come_back_exactly_by_step(store: Store) -> None:
    run = claimed(store)
    traces = [Trace(step, {"replicas": (1.0, 2.0), "users": (0.1, math.inf, 3e30 + step)}) for step in range(3)]
    for trace in traces[::-1]:
        store.runs.report(run.id, run.token, Report(traces=(Trace(trace.step, {"old": (0.0,)}), trace)))
    page = store.records.traces(run.id, page_size=2)
    rest = store.records.traces(run.id, page_token=page.next_page_token)
    assert [*page.items, *rest.items] == traces
    assert rest.next_page_token == ""


def test_records_of_a_refused_report_are_not_stored(store: Store) -> None:
    run = claimed(store)
    store.runs.report(run.id, run.token, Report(state=RunState.COMPLETED))
    with pytest.raises(Conflict):
        store.runs.report(run.id, run.token, Report(rows=(ROW,), traces=(Trace(1, {"users": (1.0,)}),)))
    assert store.records.rows(run.id).items == ()
    assert store.records.traces(run.id).items == ()
