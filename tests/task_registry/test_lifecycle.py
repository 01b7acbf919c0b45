"""The rules of a run's life, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwmecps_core.errors import Conflict, WrongState
from lwmecps_core.run_config import TrainConfig
from services.common.run_spec import RunSpec
from services.task_registry import lifecycle
from services.task_registry.domain import FINISHED, Report, Run, RunState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=30)
PENDING, RUNNING, PAUSED = RunState.PENDING, RunState.RUNNING, RunState.PAUSED
COMPLETED, FAILED, CANCELLED = RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED
ALLOWED = {
    (PENDING, RUNNING),
    (PENDING, CANCELLED),
    (RUNNING, PAUSED),
    (RUNNING, COMPLETED),
    (RUNNING, FAILED),
    (RUNNING, CANCELLED),
    (PAUSED, RUNNING),
    (PAUSED, CANCELLED),
}


def fresh() -> Run:
    spec = RunSpec(settings=TrainConfig())
    return Run(id="run-1", spec=spec, labels={}, created_at=NOW, updated_at=NOW, etag="1")


def held() -> Run:
    return lifecycle.claim(fresh(), "learner", NOW, LEASE)


@pytest.mark.parametrize(("before", "after"), list(product(RunState, RunState)))
def test_only_the_documented_transitions_exist(before: RunState, after: RunState) -> None:
    assert (after in lifecycle.TRANSITIONS[before]) == ((before, after) in ALLOWED)


def test_pausing_a_running_run_waits_for_its_learner() -> None:
    asked = lifecycle.pause(held(), NOW)
    assert (asked.state, asked.desired_state) == (RUNNING, PAUSED)
    paused = lifecycle.report(asked, asked.token, Report(state=PAUSED), NOW, LEASE)
    assert (paused.state, paused.owner, paused.lease_expires_at) == (PAUSED, "", None)


def test_paused_run_can_be_claimed_only_after_it_is_resumed() -> None:
    paused = lifecycle.report(lifecycle.pause(held(), NOW), 1, Report(state=PAUSED), NOW, LEASE)
    with pytest.raises(WrongState):
        lifecycle.claim(paused, "other", NOW, LEASE)
    resumed = lifecycle.resume(paused, NOW)
    assert (resumed.state, resumed.desired_state) == (PAUSED, RUNNING)
    again = lifecycle.claim(resumed, "other", NOW, LEASE)
    assert (again.state, again.token, again.owner) == (RUNNING, 2, "other")


def test_resume_withdraws_a_pause_that_has_not_happened_yet() -> None:
    run = lifecycle.resume(lifecycle.pause(held(), NOW), NOW)
    assert (run.state, run.desired_state, run.token) == (RUNNING, RUNNING, 1)


@pytest.mark.parametrize("state", [PENDING, COMPLETED, FAILED, CANCELLED])
def test_only_running_and_paused_runs_can_be_paused_or_resumed(state: RunState) -> None:
    run = replace(fresh(), state=state)
    for change in (lifecycle.pause, lifecycle.resume):
        with pytest.raises(WrongState):
            change(run, NOW)


def test_cancelling_a_pending_or_paused_run_is_immediate() -> None:
    assert lifecycle.cancel(fresh(), NOW).state is CANCELLED
    assert lifecycle.cancel(replace(fresh(), state=PAUSED), NOW).state is CANCELLED


def test_cancelling_a_running_run_is_a_wish_until_its_learner_agrees() -> None:
    asked = lifecycle.cancel(held(), NOW)
    assert (asked.state, asked.desired_state) == (RUNNING, CANCELLED)
    with pytest.raises(WrongState):
        lifecycle.resume(asked, NOW)
    done = lifecycle.report(asked, 1, Report(state=CANCELLED), NOW, LEASE)
    assert (done.state, done.finished_at) == (CANCELLED, NOW)
    assert lifecycle.cancel(done, NOW) == done


@pytest.mark.parametrize("state", [COMPLETED, FAILED])
def test_a_finished_run_can_not_be_cancelled(state: RunState) -> None:
    with pytest.raises(WrongState):
        lifecycle.cancel(replace(fresh(), state=state), NOW)


def test_wishes_come_true_without_the_learner_once_its_lease_has_expired() -> None:
    late = NOW + LEASE
    assert lifecycle.cancel(held(), late).state is CANCELLED
    assert lifecycle.pause(held(), late).state is PAUSED
    assert lifecycle.settle(lifecycle.cancel(held(), NOW), late).state is CANCELLED


def test_a_learner_that_shuts_down_hands_its_run_on() -> None:
    handed = lifecycle.report(held(), 1, Report(state=PAUSED), NOW, LEASE)
    assert lifecycle.claimable(handed, NOW)
    assert lifecycle.claim(handed, "next", NOW, LEASE).token == 2


def test_a_final_report_said_twice_changes_nothing() -> None:
    done = lifecycle.report(held(), 1, Report(state=COMPLETED), NOW, LEASE)
    assert lifecycle.report(done, 1, Report(state=COMPLETED), NOW, LEASE) == done
    with pytest.raises(Conflict):
        lifecycle.report(done, 1, Report(state=FAILED), NOW, LEASE)


def test_progress_does_not_change_the_etag_but_wishes_do() -> None:
    run = held()
    assert lifecycle.report(run, 1, Report(step=3), NOW, LEASE).etag == run.etag
    assert lifecycle.pause(run, NOW).etag != run.etag


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["claim", "renew", "pause", "resume", "cancel", "settle", *RunState]),
            st.integers(0, 3),
            st.integers(0, 60),
        ),
        max_size=30,
    )
)
def test_no_sequence_of_calls_leaves_the_state_machine(calls: list[tuple[str, int, int]]) -> None:
    run, now = fresh(), NOW
    for what, token, seconds in calls:
        before, now = run, now + timedelta(seconds=seconds)
        try:
            if what == "claim":
                run = lifecycle.claim(run, "x", now, LEASE)
            elif what == "renew":
                run = lifecycle.renew(run, token, now, LEASE)
            elif isinstance(what, RunState):
                run = lifecycle.report(run, token, Report(state=what), now, LEASE)
            else:
                run = getattr(lifecycle, what)(run, now)
        except (WrongState, Conflict):
            continue
        assert run.state is before.state or (before.state, run.state) in ALLOWED | {(RUNNING, CANCELLED)}
        assert run.token >= before.token
        assert run.revision >= before.revision
        assert (run.owner != "") == (run.state is RUNNING)
        assert (run.finished_at is not None) == (run.state in FINISHED)


def test_what_a_run_waits_for_is_kept_until_it_is_let_go_or_claimed_anew() -> None:
    held = lifecycle.claim(fresh(), "a", NOW, LEASE)
    waiting = lifecycle.heartbeat(held, held.token, NOW, LEASE, "a worker")
    assert (waiting.waiting_for, waiting.revision) == ("a worker", held.revision + 1)
    assert lifecycle.heartbeat(waiting, held.token, NOW, LEASE, "a worker").revision == waiting.revision
    assert lifecycle.heartbeat(waiting, held.token, NOW, LEASE, "").waiting_for == ""
    assert lifecycle.report(waiting, held.token, Report(), NOW, LEASE).waiting_for == "a worker"
    assert lifecycle.report(waiting, held.token, Report(state=RunState.PAUSED), NOW, LEASE).waiting_for == ""
    assert lifecycle.claim(waiting, "b", NOW + 2 * LEASE, LEASE).waiting_for == ""


def test_a_run_that_nobody_takes_says_for_how_long() -> None:
    run = fresh()
    assert lifecycle.waits_for(run, NOW) == ""
    later = NOW + timedelta(seconds=23)
    assert lifecycle.waits_for(run, later) == "a learner: none has taken it for 20 s"
    held = lifecycle.claim(run, "a", NOW, LEASE)
    assert lifecycle.waits_for(held, NOW + LEASE / 2) == ""
    assert lifecycle.waits_for(held, NOW + LEASE + timedelta(seconds=6)) == "a learner: none has taken it for 5 s"
    assert lifecycle.waits_for(lifecycle.cancel(run, NOW), later) == ""
