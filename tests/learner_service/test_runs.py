"""The life of a claimed run, over a registry in memory and a loop of sums."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from math import inf, nan

import pytest
import torch

from lwmecps_core.errors import CollectionTimeout, InvalidInput, ServiceUnavailable
from lwmecps_core.results import Row
from lwmecps_core.run_config import EvaluateConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.training.progress import LoopState, Progress
from lwmecps_core.training.sources import resolve_source
from services.learner_service import checkpoints
from services.learner_service.jobs import End, Job, LoopInput, Wish
from services.learner_service.run_pool import RunPool
from services.learner_service.runs import Pace, RunSession, Workshop

from .fakes import FakeRegistry, NoCollector, job, never, policy, summing_loop, task, wait_until, workshop


def _run(registry: FakeRegistry, shop: Workshop, shutdown: threading.Event | None = None) -> None:
    RunSession(registry.job, shop, shutdown or never()).work()


def _undisturbed() -> FakeRegistry:
    registry = FakeRegistry(job())
    _run(registry, workshop(registry, summing_loop()))
    return registry


def test_a_run_reports_every_step_checkpoints_and_publishes_its_policy() -> None:
    registry = _undisturbed()
    assert registry.end is End.COMPLETED
    assert sorted(registry.metrics) == list(range(1, 21))
    assert registry.checkpoint_steps == [5, 10, 15], "the last step needs no checkpoint"
    assert float(registry.policies["result"].params["actor"]["w"]) == registry.metrics[20]["loss"]
    assert (registry.reports[-1].step, registry.reports[-1].total) == (20, 20)


def test_many_fast_steps_travel_in_few_reports() -> None:
    registry = FakeRegistry(job())
    pace = Pace(report_every_s=60, checkpoint_every_steps=10**9)
    _run(registry, workshop(registry, summing_loop(500), pace))
    assert len(registry.reports) <= 3
    assert len(registry.metrics) == 500


@pytest.mark.parametrize("at", [1, 7, 19])
def test_a_paused_and_resumed_run_equals_an_undisturbed_one(at: int) -> None:
    registry = FakeRegistry(job())

    def pause(step: int) -> None:
        if step == at - 1:
            registry.wish = Wish.PAUSE

    if at == 1:
        registry.wish = Wish.PAUSE
    _run(registry, workshop(registry, summing_loop(after_step=pause)))
    assert registry.end is End.PAUSED
    assert registry.checkpoint_steps[-1] == at
    registry.wish = Wish.RUN
    _run(registry, workshop(registry, summing_loop()))
    assert registry.end is End.COMPLETED
    undisturbed = _undisturbed()
    assert registry.metrics == undisturbed.metrics
    assert torch.equal(
        registry.policies["result"].params["actor"]["w"], undisturbed.policies["result"].params["actor"]["w"]
    )


def test_a_pause_during_the_last_step_comes_too_late() -> None:
    registry = FakeRegistry(job())

    def pause(step: int) -> None:
        registry.wish = Wish.PAUSE if step == 19 else Wish.RUN

    _run(registry, workshop(registry, summing_loop(after_step=pause)))
    assert registry.end is End.COMPLETED


def test_a_cancelled_run_leaves_no_policy() -> None:
    registry = FakeRegistry(job())

    def cancel(step: int) -> None:
        if step == 3:
            registry.wish = Wish.CANCEL

    _run(registry, workshop(registry, summing_loop(after_step=cancel)))
    assert registry.end is End.CANCELLED
    assert registry.policies == {}


def test_a_run_that_waits_for_rollouts_stops_within_a_second_of_its_cancellation() -> None:
    registry = FakeRegistry(job())

    def loop(x: LoopInput) -> Iterator[Progress]:
        while True:
            x.collector.collect((), None, None)  # type: ignore[arg-type]
            yield Progress(1, 2, {}, LoopState(1, {}))

    class Slow(NoCollector):
        def collect(self, *_: object) -> list[object]:
            time.sleep(0.05)
            registry.wish = Wish.CANCEL
            return []

    shop = workshop(registry, loop, Pace(60, 0.02), Slow())
    began = time.monotonic()
    _run(registry, shop)
    assert registry.end is End.CANCELLED
    assert time.monotonic() - began < 1.0


def test_a_failing_loop_ends_the_run_with_one_line() -> None:
    def loop(x: LoopInput) -> Iterator[Progress]:
        yield Progress(1, 9, {"loss": 1.0}, LoopState(1, {}))
        raise ValueError("the loss\nis not finite")

    registry = FakeRegistry(job())
    _run(registry, workshop(registry, loop))
    assert registry.end is End.FAILED
    assert registry.error == "ValueError: the loss is not finite"
    assert registry.metrics == {1: {"loss": 1.0}}, "what was measured before the failure is kept"


def test_a_domain_error_is_reported_by_its_text() -> None:
    def loop(x: LoopInput) -> Iterator[Progress]:
        raise CollectionTimeout("no rollouts for 30 s: is an env-service running?")
        yield

    registry = FakeRegistry(job())
    _run(registry, workshop(registry, loop))
    assert registry.error == "no rollouts for 30 s: is an env-service running?"


def test_a_missing_policy_fails_the_run_and_names_it() -> None:
    registry = FakeRegistry(job(settings=EvaluateConfig(), policy_id="p9"))
    _run(registry, workshop(registry, summing_loop()))
    assert (registry.end, registry.error) == (End.FAILED, "Model file not found: p9")


def test_a_run_that_lost_its_lease_writes_nothing_more() -> None:
    registry = FakeRegistry(job())
    writes = []

    def lose(step: int) -> None:
        if step == 4:
            registry.token = 2
            writes.append(registry.writes)

    _run(registry, workshop(registry, summing_loop(after_step=lose)))
    assert registry.end is None
    assert registry.writes == writes[0]


def test_a_lease_lost_between_reports_is_noticed_by_the_heartbeat() -> None:
    registry = FakeRegistry(job())

    def lose(step: int) -> None:
        registry.token = 2
        time.sleep(0.01)

    pace = Pace(report_every_s=60, heartbeat_every_s=0.01, checkpoint_every_steps=10**9)
    _run(registry, workshop(registry, summing_loop(10_000, lose), pace))
    assert registry.end is None
    assert sorted(registry.metrics) == [1], "only the first report was made"


def test_a_registry_that_stays_away_makes_the_learner_abandon_the_run() -> None:
    class Away(FakeRegistry):
        def report(self, job: Job, news: object) -> Wish:
            raise ServiceUnavailable("no answer for 60 s")

    registry = Away(job())
    _run(registry, workshop(registry, summing_loop()))
    assert registry.end is None


def test_shutdown_saves_the_state_and_hands_the_run_on() -> None:
    registry, shutdown = FakeRegistry(job()), never()

    def stop(step: int) -> None:
        if step == 6:
            shutdown.set()

    _run(registry, workshop(registry, summing_loop(after_step=stop)), shutdown)
    assert (registry.end, registry.checkpoint_steps[-1]) == (End.PAUSED, 7)


def test_an_error_caused_by_a_shutdown_does_not_fail_the_run() -> None:
    registry, shutdown = FakeRegistry(job()), never()

    def loop(x: LoopInput) -> Iterator[Progress]:
        yield Progress(1, 9, {}, LoopState(1, {"value": torch.ones(1)}))
        shutdown.set()
        raise ConnectionError("redis is gone")

    _run(registry, workshop(registry, loop), shutdown)
    assert (registry.end, registry.checkpoint_steps) == (End.PAUSED, [1])


def test_a_step_that_is_cut_off_does_not_leak_into_the_checkpoint() -> None:
    registry, shutdown = FakeRegistry(job()), never()

    def loop(x: LoopInput) -> Iterator[Progress]:
        weights, history = torch.zeros(1), [0.0]
        yield Progress(1, 9, {}, LoopState(1, {"weights": weights}, {"history": history}))
        weights += 1
        history.append(1.0)
        shutdown.set()
        x.collector.collect((), None, None)  # type: ignore[arg-type]

    _run(registry, workshop(registry, loop), shutdown)
    assert registry.checkpoint is not None
    saved = checkpoints.from_bytes(registry.checkpoint, "test")
    assert (float(saved.tensors["weights"]), saved.scalars) == (0.0, {"history": [0.0]})


def test_an_evaluation_does_not_publish_the_policy_that_it_was_given() -> None:
    def loop(x: LoopInput) -> Iterator[Progress]:
        yield Progress(1, 1, {}, LoopState(1, {}), x.policy)

    registry = FakeRegistry(job(policy_id="p1"))
    registry.policies["p1"] = policy()
    _run(registry, workshop(registry, loop))
    assert (registry.end, set(registry.policies)) == (End.COMPLETED, {"p1"})


def test_rows_and_trace_reach_the_registry_once() -> None:
    row = Row("one", "", 1, -3.0, 50.0, 90.0, 4.0, 0.0, 0.1, 0.9)

    def loop(x: LoopInput) -> Iterator[Progress]:
        yield Progress(1, 2, {}, LoopState(1, {}), rows=(row,), trace={"users": (1.0, 2.0)})
        yield Progress(2, 2, {}, LoopState(2, {}))

    registry = FakeRegistry(job(label="adapted"))
    _run(registry, workshop(registry, loop))
    assert registry.rows == [replace(row, method="adapted")], "the run's label names the method"
    assert [dict(r.trace) for r in registry.reports if r.trace] == [{"users": (1.0, 2.0)}]


def test_rollouts_are_committed_with_each_checkpoint_and_removed_when_the_run_has_ended() -> None:
    registry, collector = FakeRegistry(job()), NoCollector()
    _run(registry, workshop(registry, summing_loop(), collector=collector))
    assert collector.commits == len(registry.checkpoint_steps) == 3
    assert collector.closed == [True]


def test_a_paused_or_lost_run_keeps_its_rollouts_for_whoever_goes_on() -> None:
    for wish, token in ((Wish.PAUSE, 1), (Wish.RUN, 2)):
        registry, collector = FakeRegistry(job()), NoCollector()
        registry.wish, registry.token = wish, token
        _run(registry, workshop(registry, summing_loop(), collector=collector))
        assert collector.closed == [False]


def test_slots_take_one_run_after_another_and_stop() -> None:
    registry = FakeRegistry(job())
    pool = RunPool(registry, workshop(registry, summing_loop()).work, count=2, poll_every_s=0.01)
    pool.start()
    wait_until(lambda: registry.end is End.COMPLETED)
    registry.end, registry.claimable, registry.checkpoint = None, True, None
    pool.nudge()
    wait_until(lambda: registry.end is End.COMPLETED)
    assert pool.stop(30.0)  # a slot collects garbage after a run: seconds in a process that ran thousands of tests


def test_a_checkpoint_reads_back_equal_even_without_tensors() -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    state = LoopState(4, {"b": shared, "a": shared.T, "empty": torch.zeros(0)}, {"best": -1.5, "seeds": [1, 2]})
    back = checkpoints.from_bytes(checkpoints.to_bytes(state), "test")
    assert list(back.tensors) == ["b", "a", "empty"]
    assert (back.step, back.scalars) == (4, state.scalars)
    assert all(torch.equal(back.tensors[k], state.tensors[k]) for k in state.tensors)
    assert checkpoints.from_bytes(checkpoints.to_bytes(LoopState(0, {})), "test") == LoopState(0, {})


def test_a_checkpoint_keeps_what_is_not_finite_since_a_resumed_run_does_what_an_undisturbed_one_does() -> None:
    state = LoopState(1, {"best": torch.tensor([inf, nan])}, {"worst": -inf})
    back = checkpoints.from_bytes(checkpoints.to_bytes(state), "test")
    assert torch.equal(back.tensors["best"].isnan(), torch.tensor([False, True]))
    assert back.tensors["best"][0] == inf and back.scalars == state.scalars


def test_a_file_that_is_no_checkpoint_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="checkpoint of run r1: checkpoint: not a checkpoint file"):
        checkpoints.from_bytes(b"nonsense", "checkpoint of run r1")


def test_drawn_tasks_depend_on_the_seed_alone_and_more_of_them_begin_with_the_same() -> None:
    city = TaskDistribution()
    few, many = (resolve_source("adapt", [city], n, 5) for n in (2, 4))
    other = resolve_source("adapt", [city], 2, 6)
    assert isinstance(few, tuple) and isinstance(many, tuple) and isinstance(other, tuple)
    assert few == many[:2] and few != other
    assert resolve_source("meta_train", [city], 0, 0) == city
    assert resolve_source("train", [task("a"), task("b")], 0, 0) == (task("a"), task("b"))


@pytest.mark.parametrize(
    ("kind", "items", "num_tasks", "reason"),
    [
        ("adapt", [TaskDistribution()], 0, "num_tasks: must be set when a run of kind adapt"),
        ("train", [TaskDistribution(), TaskDistribution()], 0, "num_tasks: must be set when"),
        ("train", [task()], 3, "num_tasks: must be 0"),
        ("train", [], 0, "task_ids: at least one task"),
        ("train", [task(), TaskDistribution()], 3, "task_ids: tasks of one environment"),
    ],
)
def test_tasks_that_a_run_cannot_work_on_are_refused(kind: str, items: list, num_tasks: int, reason: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(InvalidInput, match=reason):
        resolve_source(kind, items, num_tasks, 0)
