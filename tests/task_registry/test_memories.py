"""What policies remember of clusters: put, read, listed and deleted, on each database."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lwmecps_core.errors import Conflict, InvalidInput, NotFound
from lwmecps_core.specs import TaskDistribution
from services.task_registry.store import Store
from tests.task_registry.making import Clock, make_task


def test_what_was_put_comes_back_and_is_replaced(store: Store, clock: Clock) -> None:
    task = store.tasks.create(make_task()).id
    first = store.memories.put(task, "edge", b"one")
    assert (first.size_bytes, first.content, first.created_at) == (3, b"", first.updated_at)
    clock.pass_s(5)
    second = store.memories.put(task, "edge", b"another", first.etag)
    assert second.etag != first.etag and second.created_at == first.created_at < second.updated_at
    assert store.memories.get(task, "edge").content == b"another"
    assert [m.name for m in store.memories.list().items] == ["edge"]


def test_what_changed_meanwhile_is_not_replaced(store: Store) -> None:
    task = store.tasks.create(make_task()).id
    first = store.memories.put(task, "edge", b"one")
    store.memories.put(task, "edge", b"two")
    with pytest.raises(Conflict, match=f"memory {task}/edge changed since it was read"):
        store.memories.put(task, "edge", b"three", first.etag)
    with pytest.raises(Conflict):
        store.memories.delete(task, "edge", first.etag)
    with pytest.raises(Conflict):
        store.memories.put(task, "gone", b"three", first.etag)
    assert store.memories.get(task, "edge").content == b"two"
    assert len(store.memories.list().items) == 1


def test_a_put_whose_answer_was_lost_may_be_repeated(store: Store, clock: Clock) -> None:
    task = store.tasks.create(make_task()).id
    first = store.memories.put(task, "edge", b"one")
    second = store.memories.put(task, "edge", b"two", first.etag)
    clock.pass_s(5)
    assert store.memories.put(task, "edge", b"two", first.etag) == second


def test_concurrent_puts_under_a_new_name_keep_one(store: Store) -> None:
    task = store.tasks.create(make_task()).id
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.memories.put(task, "edge", b"%d" % i), range(8)))
    (kept,) = store.memories.list().items
    assert store.memories.get(task, "edge").etag == kept.etag


def test_names_are_those_of_a_task(store: Store) -> None:
    one, other = (store.tasks.create(make_task(name)).id for name in ("a", "b"))
    for task in (one, other):
        store.memories.put(task, "edge", task.encode())
    assert store.memories.get(one, "edge").content == one.encode()
    assert [m.task_id for m in store.memories.list(task_id=other).items] == [other]


def test_pages_neither_repeat_nor_skip(store: Store) -> None:
    task = store.tasks.create(make_task()).id
    for i in range(7):
        store.memories.put(task, f"m{i}", b"x")
    seen, token = [], ""
    while True:
        page = store.memories.list(3, token, task)
        seen += [m.name for m in page.items]
        store.memories.put(task, "m6", b"%d" % len(seen))  # a change moves nothing
        if not (token := page.next_page_token):
            break
    assert seen == [f"m{i}" for i in reversed(range(7))]


def test_unknown_tasks_and_names_are_not_found_and_distributions_refused(store: Store) -> None:
    task = store.tasks.create(make_task()).id
    many = store.tasks.create(TaskDistribution()).id
    with pytest.raises(NotFound, match="task not found: task-none"):
        store.memories.put("task-none", "edge", b"x")
    with pytest.raises(NotFound, match=f"memory not found: {task}/edge"):
        store.memories.get(task, "edge")
    with pytest.raises(NotFound):
        store.memories.delete(task, "edge")
    with pytest.raises(InvalidInput, match=f"task_id: {many} is a distribution"):
        store.memories.put(many, "edge", b"x")


def test_memories_go_with_their_task(store: Store) -> None:
    task = store.tasks.create(make_task()).id
    store.memories.put(task, "edge", b"x")
    store.memories.delete(task, "edge")
    store.memories.put(task, "edge", b"y")
    store.tasks.delete(task)
    assert store.memories.list().items == ()
