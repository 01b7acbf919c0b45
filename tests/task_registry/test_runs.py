"""Runs on each database: claims, leases, fencing, reports."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lwmecps_core.errors import AlreadyExists, Conflict, NotFound, WrongState
from services.task_registry.domain import MetricPoint, Report, Run, RunState
from services.task_registry.store import Store
from tests.task_registry.making import Clock, claimed, make_run_spec, make_task


def test_a_run_comes_back_equal(store: Store) -> None:
    tasks = [store.tasks.create(make_task(name)).id for name in "ab"]
    run = store.runs.create(make_run_spec(*tasks, kind="meta_train", inner_lr=0.1), {"team": "edge"})
    assert store.runs.get(run.id) == run
    assert run.state is RunState.PENDING
    assert run.spec.task_ids == tuple(tasks)


def test_a_run_on_an_unknown_task_or_policy_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="task not found: task-x"):
        store.runs.create(make_run_spec("task-x"))
    spec = make_run_spec()
    with pytest.raises(NotFound, match="policy not found: policy-x"):
        store.runs.create(type(spec)(kind="adapt", settings={}, policy_id="policy-x"))
    assert store.runs.list().items == ()


def test_creation_repeated_with_its_request_id_makes_one_run(store: Store) -> None:
    run = store.runs.create(make_run_spec(), request_id="r")
    assert store.runs.create(make_run_spec(), request_id="r") == run
    with pytest.raises(AlreadyExists):
        store.runs.create(make_run_spec(seed=2), request_id="r")


def test_of_concurrent_claims_exactly_one_wins(store: Store) -> None:
    for _ in range(5):
        store.runs.create(make_run_spec())
        start = threading.Barrier(4)

        def claim(owner: str, start: threading.Barrier = start) -> Run | None:
            start.wait()
            return store.runs.claim(owner)

        with ThreadPoolExecutor(4) as pool:
            claims = [run for run in pool.map(claim, "abcd") if run is not None]
        assert len(claims) == 1
        assert store.runs.get(claims[0].id).owner == claims[0].owner


def test_concurrent_claims_of_many_runs_share_them_out(store: Store) -> None:
    made = {store.runs.create(make_run_spec()).id for _ in range(12)}

    def claim_all(owner: str) -> list[str]:
        got = []
        for _ in range(20):
            if run := store.runs.claim(owner):
                got.append(run.id)
        return got

    with ThreadPoolExecutor(4) as pool:
        claims = [id_ for got in pool.map(claim_all, "abcd") for id_ in got]
    assert sorted(claims) == sorted(made)


def test_the_oldest_run_of_the_wanted_kinds_is_claimed_first(store: Store) -> None:
    first = store.runs.create(make_run_spec(kind="adapt"))
    second = store.runs.create(make_run_spec(kind="train"))
    third = store.runs.create(make_run_spec(kind="train"))
    claims = [store.runs.claim("x", kinds=["train"]) for _ in range(3)]
    assert [run and run.id for run in claims] == [second.id, third.id, None]
    last = store.runs.claim("x")
    assert last is not None and last.id == first.id


def test_expired_lease_lets_another_learner_resume(store: Store, clock: Clock) -> None:
    run = claimed(store, "first")
    clock.pass_s(29)
    assert store.runs.claim("second") is None
    clock.pass_s(1)
    taken = store.runs.claim("second")
    assert taken is not None
    assert (taken.id, taken.owner, taken.token) == (run.id, "second", run.token + 1)


def test_heartbeats_keep_a_lease(store: Store, clock: Clock) -> None:
    run = claimed(store)
    for _ in range(5):
        clock.pass_s(20)
        store.runs.heartbeat(run.id, run.token)
    assert store.runs.claim("second") is None


def test_everything_under_a_stale_token_is_refused(store: Store, clock: Clock) -> None:
    old = claimed(store, "first")
    clock.pass_s(31)
    new = store.runs.claim("second")
    assert new is not None
    point = MetricPoint("meta_loss", 1, 0.5, clock())
    with pytest.raises(Conflict, match="stale"):
        store.runs.report(old.id, old.token, Report(state=RunState.COMPLETED, metrics=(point,)))
    with pytest.raises(Conflict, match="stale"):
        store.runs.heartbeat(old.id, old.token)
    assert store.runs.get(old.id) == new
    assert store.records.metrics(old.id).items == ()


def test_a_learner_whose_lease_expired_goes_on_if_nobody_took_its_run(store: Store, clock: Clock) -> None:
    run = claimed(store)
    clock.pass_s(60)
    assert store.runs.report(run.id, run.token, Report(step=3)).step == 3
    assert store.runs.claim("second") is None


def test_a_report_answers_with_what_people_want(store: Store) -> None:
    run = claimed(store)
    assert store.runs.report(run.id, run.token, Report(step=1, total_steps=9)).desired_state is RunState.RUNNING
    store.runs.cancel(run.id)
    answer = store.runs.report(run.id, run.token, Report(step=2))
    assert (answer.state, answer.desired_state, answer.total_steps) == (RunState.RUNNING, RunState.CANCELLED, 9)
    assert store.runs.report(run.id, run.token, Report(state=RunState.CANCELLED)).state is RunState.CANCELLED


def test_pause_and_resume_pass_the_run_to_the_next_claim(store: Store) -> None:
    run = claimed(store, "first")
    store.runs.pause(run.id)
    store.runs.report(run.id, run.token, Report(state=RunState.PAUSED, step=4))
    assert store.runs.claim("second") is None
    store.runs.resume(run.id)
    taken = store.runs.claim("second")
    assert taken is not None
    assert (taken.id, taken.step, taken.state, taken.token) == (run.id, 4, RunState.RUNNING, 2)


def test_a_cancelled_run_whose_learner_vanished_ends_at_the_next_claim(store: Store, clock: Clock) -> None:
    run = claimed(store)
    store.runs.cancel(run.id)
    clock.pass_s(31)
    assert store.runs.claim("second") is None
    assert store.runs.get(run.id).state is RunState.CANCELLED


def test_a_pending_run_is_cancelled_at_once_and_never_claimed(store: Store) -> None:
    run = store.runs.create(make_run_spec())
    assert store.runs.cancel(run.id).state is RunState.CANCELLED
    assert store.runs.claim("x") is None
    with pytest.raises(WrongState):
        store.runs.resume(run.id)


def test_a_change_with_a_stale_etag_is_refused(store: Store) -> None:
    run = claimed(store)
    store.runs.pause(run.id, etag=run.etag)
    with pytest.raises(Conflict, match="etag"):
        store.runs.cancel(run.id, etag=run.etag)


def test_an_invalid_transition_stores_nothing(store: Store, clock: Clock) -> None:
    run = claimed(store)
    point = MetricPoint("x", 1, 1.0, clock())
    with pytest.raises(WrongState):
        store.runs.report(run.id, run.token, Report(state=RunState.PENDING, metrics=(point,)))
    assert store.records.metrics(run.id).items == ()


def test_runs_are_listed_newest_first_by_state_kind_and_task(store: Store) -> None:
    task = store.tasks.create(make_task()).id
    first = store.runs.create(make_run_spec(task))
    second = store.runs.create(make_run_spec(kind="adapt"))
    assert [run.id for run in store.runs.list().items] == [second.id, first.id]
    assert [run.id for run in store.runs.list(kind="adapt").items] == [second.id]
    assert [run.id for run in store.runs.list(task_id=task).items] == [first.id]
    store.runs.cancel(first.id)
    assert [run.id for run in store.runs.list(states=[RunState.CANCELLED]).items] == [first.id]
    page = store.runs.list(page_size=1)
    assert [run.id for run in store.runs.list(page_size=1, page_token=page.next_page_token).items] == [first.id]


def test_every_change_of_a_run_wakes_those_who_wait(store: Store) -> None:
    run = claimed(store)
    seen = store.runs.changed.count
    timer = threading.Timer(0.05, lambda: store.runs.report(run.id, run.token, Report(step=1)))
    timer.start()
    assert store.runs.changed.wait(seen, timeout_s=10) > seen
    timer.join()
    assert store.runs.get(run.id).step == 1
