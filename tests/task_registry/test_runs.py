"""Runs on each database: claims, leases, fencing, reports."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.errors import AlreadyExists, Conflict, InvalidInput, NotFound, WrongState
from lwmecps_core.kinds import KINDS, RunSettings
from lwmecps_core.run_config import AdaptConfig, DQNConfig, EvaluateConfig, MetaConfig, TrainConfig, TransferConfig
from services.task_registry.domain import MetricPoint, Report, Run, RunState
from services.task_registry.lifecycle import MOST_LOST
from services.task_registry.store import Store
from tests.task_registry.making import Clock, claimed, make_policy, make_run_spec, make_task


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("train", TrainConfig(total_episodes=7)),
        ("meta_train", MetaConfig(inner_lr=0.5)),
        ("transfer", TransferConfig()),
        ("adapt", AdaptConfig(inner_lr=0.25)),
        ("evaluate", EvaluateConfig(episodes=3)),
        ("continual", ContinualConfig(replay_share=0.25, keep_contexts=False)),
    ],
)
def test_a_run_of_every_kind_comes_back_equal(store: Store, kind: str, settings: RunSettings) -> None:
    tasks = [store.tasks.create(make_task(name)).id for name in "ab"]
    of_kind = KINDS[kind]
    own: dict[str, Any] = {of_kind.beside: (tasks[0],)} if of_kind.beside else {}
    own |= {"algorithm": DQNConfig(tau=0.5)} if of_kind.from_nothing else {"policy_id": make_policy(store).id}
    spec = make_run_spec(tasks[1], tasks[0], settings=settings, label="x", num_tasks=3, task_seed=4, seed=5, **own)
    run = store.runs.create(spec, {"team": "edge"}, traceparent="00-a-b-01")
    assert store.runs.get(run.id) == run and run.traceparent == "00-a-b-01"
    assert (run.spec, run.spec.kind, run.state) == (spec, kind, RunState.PENDING)


def test_a_run_on_an_unknown_task_or_policy_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="task not found: task-x"):
        store.runs.create(make_run_spec("task-x"))
    with pytest.raises(NotFound, match="policy not found: policy-x"):
        store.runs.create(make_run_spec(kind="adapt", policy_id="policy-x"))
    assert store.runs.list().items == ()


@pytest.mark.parametrize("kind", ["transfer", "adapt", "evaluate", "continual"])
def test_a_run_that_needs_a_policy_is_refused_without_one(sqlite_store: Store, kind: str) -> None:
    with pytest.raises(InvalidInput, match="policy_id"):
        sqlite_store.runs.create(make_run_spec(kind=kind))


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("meta_train", {"policy_id": "p"}, "policy_id: a run of kind meta_train starts from nothing"),
        ("adapt", {"policy_id": "p", "algorithm": DQNConfig()}, "algorithm: a run of kind adapt has"),
        ("meta_train", {"source_task_ids": ("t",)}, "source_task_ids: a run of kind meta_train has none"),
        ("transfer", {"policy_id": "p", "calibration_task_ids": ("t",)}, "calibration_task_ids: a run"),
        ("evaluate", {"policy_id": "p", "settings": EvaluateConfig(baseline="random")}, "policy_id: give either a"),
    ],
)
def test_what_a_kind_of_run_cannot_use_is_refused(
    sqlite_store: Store, kind: str, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput, match=field):
        sqlite_store.runs.create(make_run_spec(kind=kind, **fields))


def test_training_may_go_on_from_a_policy_that_is_there(sqlite_store: Store) -> None:
    policy = make_policy(sqlite_store).id
    assert sqlite_store.runs.create(make_run_spec(kind="train", policy_id=policy)).spec.policy_id == policy
    with pytest.raises(NotFound, match="policy not found: p"):
        sqlite_store.runs.create(make_run_spec(kind="train", policy_id="p"))


def test_a_baseline_is_evaluated_without_a_policy(sqlite_store: Store) -> None:
    settings = EvaluateConfig(baseline="random")
    assert sqlite_store.runs.create(make_run_spec(settings=settings)).spec.kind == "evaluate"


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


def test_the_oldest_run_is_claimed_first(store: Store) -> None:
    made = [store.runs.create(make_run_spec()).id for _ in range(3)]
    claims = [store.runs.claim("x") for _ in range(4)]
    assert [run and run.id for run in claims] == [*made, None]


def test_expired_lease_lets_another_learner_resume(store: Store, clock: Clock) -> None:
    run = claimed(store, "first")
    clock.pass_s(29)
    assert store.runs.claim("second") is None
    clock.pass_s(1)
    taken = store.runs.claim("second")
    assert taken is not None
    assert (taken.id, taken.owner, taken.token) == (run.id, "second", run.token + 1)


def test_a_run_that_no_learner_survives_fails_in_the_end(store: Store, clock: Clock) -> None:
    run = claimed(store, "learner-0")
    for i in range(1, MOST_LOST):
        clock.pass_s(31)
        taken = store.runs.claim(f"learner-{i}")
        assert taken is not None and taken.id == run.id
    clock.pass_s(31)
    assert store.runs.claim("survivor") is None
    ended = store.runs.get(run.id)
    assert ended.state is RunState.FAILED and ended.owner == ""
    assert f"{MOST_LOST} learners" in ended.error and f"learner-{MOST_LOST - 1}" in ended.error


def test_a_run_that_comes_further_between_losses_goes_on(store: Store, clock: Clock) -> None:
    run = claimed(store)
    for i in range(2 * MOST_LOST):
        if i % (MOST_LOST - 1) == 0:
            store.runs.report(run.id, run.token, Report(step=i + 1))
        clock.pass_s(31)
        taken = store.runs.claim("next")
        assert taken is not None and taken.id == run.id, i
        run = taken
    # Who hands a run on has not vanished.
    store.runs.report(run.id, run.token, Report(state=RunState.PAUSED))
    again = store.runs.claim("next")
    assert again is not None and again.lost == 0


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


def test_whoever_looks_sees_a_run_end_whose_learner_vanished(store: Store, clock: Clock) -> None:
    looks = (
        lambda id_: store.runs.get(id_),
        lambda id_: store.runs.news(id_, 0).run,
        lambda id_: store.runs.list().items[0],
    )
    for look in looks:
        run = claimed(store)
        store.runs.cancel(run.id)
        clock.pass_s(31)
        assert look(run.id).state is RunState.CANCELLED


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


def test_runs_are_listed_newest_first_by_state_and_kind(store: Store) -> None:
    first = store.runs.create(make_run_spec())
    second = store.runs.create(make_run_spec(kind="meta_train"))
    assert [run.id for run in store.runs.list().items] == [second.id, first.id]
    assert [run.id for run in store.runs.list(kind="meta_train").items] == [second.id]
    store.runs.cancel(first.id)
    assert [run.id for run in store.runs.list(state=RunState.CANCELLED).items] == [first.id]
    page = store.runs.list(page_size=1)
    assert [run.id for run in store.runs.list(page_size=1, page_token=page.next_page_token).items] == [first.id]


def test_a_result_policy_must_be_registered(store: Store) -> None:
    run = claimed(store)
    with pytest.raises(NotFound, match="policy-x"):
        store.runs.report(run.id, run.token, Report(state=RunState.COMPLETED, result_policy_id="policy-x"))
    policy = make_policy(store, run_id=run.id, token=run.token)
    done = store.runs.report(run.id, run.token, Report(state=RunState.COMPLETED, result_policy_id=policy.id))
    assert (done.state, done.result_policy_id) == (RunState.COMPLETED, policy.id)


def test_news_are_what_was_reported_since(store: Store, clock: Clock) -> None:
    run = claimed(store)
    for step in range(3):
        point = MetricPoint("x", step, step, clock())
        store.runs.report(run.id, run.token, Report(step=step, metrics=(point,)))
        news = store.runs.news(run.id, run.revision + step)
        assert ([p.step for p in news.metrics], news.run.step) == ([step], step)
    assert [p.step for p in store.runs.news(run.id, 0, after_step=0).metrics] == [1, 2]
    assert store.runs.news(run.id, news.run.revision).metrics == ()


def test_every_change_of_a_run_wakes_those_who_wait_for_it(sqlite_store: Store) -> None:
    runs = sqlite_store.runs
    run, other = claimed(sqlite_store), claimed(sqlite_store)
    seen, start = runs.changed.count(run.id), time.monotonic()
    timer = threading.Timer(0.05, lambda: runs.report(run.id, run.token, Report(step=1)))
    timer.start()
    runs.report(other.id, other.token, Report(step=9))
    runs.changed.wait(run.id, seen, timeout_s=20)
    timer.join()
    assert runs.get(run.id).step == 1
    assert time.monotonic() - start < 10


def test_a_run_that_is_created_paused_waits_until_it_is_resumed(store: Store) -> None:
    spec = make_run_spec(store.tasks.create(make_task()).id)
    run = store.runs.create(spec, request_id="once", paused=True)
    assert (run.state, run.desired_state) == (RunState.PAUSED, RunState.PAUSED)
    assert store.runs.claim("learner") is None
    assert store.runs.create(spec, request_id="once", paused=True) == run
    with pytest.raises(AlreadyExists):
        store.runs.create(spec, request_id="once")
    store.runs.resume(run.id)
    claimed_run = store.runs.claim("learner")
    assert claimed_run is not None and claimed_run.id == run.id
