"""A run's life as pure functions: each takes a run and the time, and returns the run as it is afterwards.

    PENDING ──claim──► RUNNING ──report──► COMPLETED | FAILED
       │                 │  ▲
       │           pause │  │ resume, then claim
       │                 ▼  │
       └───cancel──►  PAUSED ──cancel──► CANCELLED (RUNNING too)

People say what they want (`desired_state`); the learner that holds a run acts on it and reports the state it reached,
so that nothing is lost in between. Nobody holds a PENDING or a PAUSED run, so wishes about those take effect at once;
those about a RUNNING run whose learner has vanished take effect when its lease has expired. A PAUSED run whose
desired state is RUNNING can be claimed, so a learner that shuts down hands its run on by reporting PAUSED. A run may
also be created PAUSED, by whoever wants to start it later. A run that no learner survives FAILS when `MOST_LOST`
of them have vanished with it, one after the other: it would take down every learner that there is, again and again.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from lwmecps_core.errors import Conflict, WrongState
from services.task_registry.domain import FINISHED, Report, Run, RunState

PENDING, RUNNING, PAUSED = RunState.PENDING, RunState.RUNNING, RunState.PAUSED
CANCELLED = RunState.CANCELLED

MOST_LOST = 10
"""So many learners may vanish in a row with a run that comes no step further."""
TOLD_EVERY_S = 5
"""A run that waits for a learner says for how long in steps of so much."""
TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    PENDING: frozenset({RUNNING, CANCELLED}),
    RUNNING: frozenset({PAUSED}) | FINISHED,
    PAUSED: frozenset({RUNNING, CANCELLED}),
} | dict.fromkeys(FINISHED, frozenset[RunState]())


def claimable(run: Run, now: datetime) -> bool:
    """Whether a learner may take the run: it should run, and nobody holds it."""
    if run.desired_state is not RUNNING:
        return False
    return run.state in (PENDING, PAUSED) or lease_expired(run, now)


def lease_expired(run: Run, now: datetime) -> bool:
    """Whether the run is RUNNING but its learner has not been heard from in time."""
    return run.state is RUNNING and run.lease_expires_at is not None and run.lease_expires_at <= now


def claim(run: Run, owner: str, now: datetime, lease: timedelta) -> Run:
    """Give the run to `owner` under a new, higher fencing token."""
    if not claimable(run, now):
        raise WrongState(f"run {run.id} is {run.state} and can't be claimed")
    claimed = replace(
        run,
        owner=owner,
        token=run.token + 1,
        lost=run.lost + (run.state is RUNNING),
        lease_expires_at=now + lease,
        started_at=run.started_at or now,
        waiting_for="",
    )
    return _changed(claimed, now) if run.state is RUNNING else _move(claimed, RUNNING, now)


def check_holder(run: Run, token: int) -> None:
    """Raise `Conflict` unless `token` is the run's newest and a learner has the run."""
    if token != run.token:
        raise Conflict(f"run {run.id}: fencing token {token} is stale, the newest is {run.token}")
    if run.state is not RUNNING:
        raise Conflict(f"run {run.id} is {run.state}: fencing token {token} no longer holds it")


def renew(run: Run, token: int, now: datetime, lease: timedelta) -> Run:
    """Extend the lease; an expired one that nobody took is renewed too, for the token still fences."""
    check_holder(run, token)
    return replace(run, lease_expires_at=now + lease)


def heartbeat(run: Run, token: int, now: datetime, lease: timedelta, waiting_for: str) -> Run:
    """Extend the lease, and take in what the run waits for."""
    run = renew(run, token, now, lease)
    if waiting_for == run.waiting_for:
        return run
    return replace(run, waiting_for=waiting_for, updated_at=now, revision=run.revision + 1)


def waits_for(run: Run, now: datetime) -> str:
    """What the run waits for, in words: what its learner says, or a learner; empty for nothing."""
    if not claimable(run, now):
        return run.waiting_for
    since = run.lease_expires_at or run.updated_at
    waited_s = int((now - since).total_seconds()) // TOLD_EVERY_S * TOLD_EVERY_S
    return f"a learner: none has taken it for {waited_s} s" if waited_s else ""


def report(run: Run, token: int, said: Report, now: datetime, lease: timedelta) -> Run:
    """Apply a learner's report, which also renews its lease; saying a final word twice changes nothing."""
    if token == run.token and run.state is said.state and run.state is not RUNNING:
        return run
    run = renew(run, token, now, lease)
    run = replace(
        run,
        updated_at=now,
        revision=run.revision + 1,
        step=run.step if said.step is None else said.step,
        total_steps=run.total_steps if said.total_steps is None else said.total_steps,
        error=said.error or run.error,
        result_policy_id=said.result_policy_id or run.result_policy_id,
        wandb_run_id=said.wandb_run_id or run.wandb_run_id,
        latest_metrics=run.latest_metrics | _newest(said),
        lost=0 if said.state is not RUNNING or (said.step or 0) > run.step else run.lost,
    )
    if said.state is RUNNING:
        return run
    return settle(_move(run, said.state, now), now)


def pause(run: Run, now: datetime) -> Run:
    """Ask that the run pauses."""
    _check_pausable(run)
    return settle(_desire(run, PAUSED, now), now)


def resume(run: Run, now: datetime) -> Run:
    """Withdraw a pause: a PAUSED run can be claimed again and is RUNNING once it is."""
    _check_pausable(run)
    return _desire(run, RUNNING, now)


def cancel(run: Run, now: datetime) -> Run:
    """Ask that the run ends; one that nobody holds is CANCELLED at once."""
    if run.state in FINISHED and run.state is not CANCELLED:
        raise WrongState(f"run {run.id} is already {run.state}")
    return run if run.state is CANCELLED else settle(_desire(run, CANCELLED, now), now)


def settle(run: Run, now: datetime) -> Run:
    """Carry out the desired state of a run that no learner holds, and give up one that none survives."""
    if lease_expired(run, now) and run.lost + 1 >= MOST_LOST and run.desired_state is RUNNING:
        error = (
            f"{MOST_LOST} learners in a row vanished with this run, and it came no step further (last: {run.owner}). "
            "Their logs may say why; a run that needs more memory than they have ends so"
        )
        return _move(replace(run, error=error), RunState.FAILED, now)
    if run.state is run.desired_state or run.state in FINISHED:
        return run
    unheld = run.state in (PENDING, PAUSED) or lease_expired(run, now)
    if unheld and run.desired_state in (PAUSED, CANCELLED):
        return _move(run, run.desired_state, now)
    return run


def _check_pausable(run: Run) -> None:
    if run.state not in (RUNNING, PAUSED):
        raise WrongState(f"run {run.id} is {run.state}, neither running nor paused")
    if run.desired_state is CANCELLED:
        raise WrongState(f"run {run.id} is being cancelled")


def _desire(run: Run, state: RunState, now: datetime) -> Run:
    if run.desired_state is state:
        return run
    return _changed(replace(run, desired_state=state), now)


def _move(run: Run, state: RunState, now: datetime) -> Run:
    if state not in TRANSITIONS[run.state]:
        raise WrongState(f"run {run.id} can't go from {run.state} to {state}")
    run = _changed(replace(run, state=state), now)
    if state is not RUNNING:
        run = replace(run, owner="", lease_expires_at=None, waiting_for="")
    return replace(run, finished_at=now) if state in FINISHED else run


def _changed(run: Run, now: datetime) -> Run:
    return replace(run, updated_at=now, etag=next_etag(run.etag), revision=run.revision + 1)


def _newest(said: Report) -> dict[str, float]:
    return {p.name: p.value for p in sorted(said.metrics, key=lambda p: p.step)}


def next_etag(etag: str) -> str:
    """The etag after one more change; etags are opaque to clients."""
    return str(int(etag) + 1)
