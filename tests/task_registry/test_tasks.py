"""Tasks: creation, lists and deletion, on each database."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lwmecps_core.errors import AlreadyExists, Conflict, InvalidInput, NotFound, WrongState
from lwmecps_core.run_config import EvaluateConfig
from lwmecps_core.specs import TaskDistribution
from services.task_registry.domain import Report, RunState
from services.task_registry.store import Store
from tests.task_registry.making import Clock, make_policy, make_run_spec, make_task


def test_a_task_comes_back_equal(store: Store) -> None:
    spec = make_task("harbour", family="mec_city", horizon=33)
    made = store.tasks.create(spec, labels={"owner": "ana"})
    assert store.tasks.get(made.id) == made
    assert made.spec == spec
    assert made.labels == {"owner": "ana"}


def test_a_distribution_comes_back_equal(store: Store) -> None:
    spec = TaskDistribution(family="mec_city", nodes=3, recorded_users=((1.0, 2.0, 3.0),))
    made = store.tasks.create(spec, name="cities")
    assert store.tasks.get(made.id) == made
    assert (made.name, made.spec) == ("cities", spec)
    assert store.tasks.create(spec).name == "mec_city"


def test_unknown_task_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="task not found: task-none"):
        store.tasks.get("task-none")
    with pytest.raises(NotFound):
        store.tasks.delete("task-none")


def test_creation_repeated_with_its_request_id_makes_one_task(store: Store) -> None:
    first = store.tasks.create(make_task(), request_id="r1")
    assert store.tasks.create(make_task(), request_id="r1") == first
    assert store.tasks.create(make_task(), request_id="r2").id != first.id
    assert len(store.tasks.list().items) == 2


def test_request_id_reused_for_another_task_is_refused(store: Store) -> None:
    store.tasks.create(make_task("a"), request_id="r1")
    with pytest.raises(AlreadyExists, match="r1"):
        store.tasks.create(make_task("b"), request_id="r1")


def test_request_ids_are_forgotten_after_a_week(store: Store, clock: Clock) -> None:
    first = store.tasks.create(make_task(), request_id="r1")
    clock.pass_s(6 * 86_400)
    store.forget_request_ids()
    assert store.tasks.create(make_task(), request_id="r1") == first
    clock.pass_s(2 * 86_400)
    store.forget_request_ids()
    assert store.tasks.create(make_task(), request_id="r1") != first


def test_concurrent_creations_with_one_request_id_make_one_task(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.tasks.create(make_task(), request_id="same"), range(8)))
    assert len({task.id for task in made}) == 1
    assert len(store.tasks.list().items) == 1


def test_thousand_tasks_are_paged_without_gap_or_repetition(store: Store) -> None:
    spec = make_task()
    ids = [store.tasks.create(spec).id for _ in range(1000)]
    seen: list[str] = []
    token, pages = "", 0
    while True:
        page = store.tasks.list(page_size=300, page_token=token)
        seen += [task.id for task in page.items]
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
        # What comes and goes between two pages moves nothing.
        store.tasks.create(make_task("late"))
        store.tasks.delete(seen[0]) if pages == 1 else None
    assert seen == ids[::-1]
    assert pages == 4


def test_lists_filter_by_name_and_family(store: Store) -> None:
    store.tasks.create(make_task("a", family="mec_city"))
    store.tasks.create(make_task("b", family="load_balancing"))
    assert [task.name for task in store.tasks.list(family="mec_city").items] == ["a"]
    assert [task.name for task in store.tasks.list(name="b").items] == ["b"]


@pytest.mark.parametrize("token", ["nonsense", "bnVsbA==", "WzEsIDJd"])
def test_foreign_page_token_is_refused(store: Store, token: str) -> None:
    with pytest.raises(InvalidInput, match="page_token"):
        store.tasks.list(page_token=token)


def test_page_token_of_a_list_with_other_filters_is_refused(store: Store) -> None:
    for _ in range(2):
        store.tasks.create(make_task())
    token = store.tasks.list(page_size=1).next_page_token
    with pytest.raises(InvalidInput, match="page_token"):
        store.tasks.list(page_size=1, page_token=token, name="city")


def test_deletion_with_a_stale_etag_is_refused(store: Store) -> None:
    task = store.tasks.create(make_task())
    with pytest.raises(Conflict):
        store.tasks.delete(task.id, etag="999")
    store.tasks.delete(task.id, etag=task.etag)
    with pytest.raises(NotFound):
        store.tasks.get(task.id)


def test_task_in_use_by_an_unfinished_run_stays(store: Store) -> None:
    task = store.tasks.create(make_task())
    other = store.tasks.create(make_task("calibration"))
    origin = store.tasks.create(make_task("source"))
    settings = EvaluateConfig(baseline="random")
    run = store.runs.create(make_run_spec(task.id, settings=settings, calibration_task_ids=(other.id,)))
    transfer = {"kind": "transfer", "policy_id": make_policy(store).id, "source_task_ids": (origin.id,)}
    moved = store.runs.create(make_run_spec(**transfer))
    for used, by in ((task, run), (other, run), (origin, moved)):
        with pytest.raises(WrongState, match=by.id):
            store.tasks.delete(used.id)
    store.runs.cancel(moved.id)
    held = store.runs.claim("learner")
    assert held is not None
    store.runs.report(held.id, held.token, Report(state=RunState.COMPLETED))
    store.tasks.delete(task.id)
    assert store.runs.get(run.id).spec.task_ids == (task.id,)
