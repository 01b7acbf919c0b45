"""Runs: their creation, their leases and their states."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, or_, select
from sqlalchemy.orm import Session

from lwmecps_core.config import dump, parse
from lwmecps_core.errors import InvalidInput, NotFound, Violation, WrongState
from lwmecps_core.kinds import BESIDE, KINDS
from lwmecps_core.run_config import AlgorithmConfig
from services.common.run_spec import RunSpec
from services.task_registry import lifecycle
from services.task_registry.domain import FINISHED, News, Page, Report, Run, RunState
from services.task_registry.models import PolicyRow, RunRow, RunTaskRow
from services.task_registry.notifier import Notifier
from services.task_registry.store.common import Creation, StoreContext, check_etag, find, new_id
from services.task_registry.store.paging import digest, newest_page
from services.task_registry.store.records import append, from_plain, news_of, to_plain
from services.task_registry.store.tasks import lock_tasks

LEASE = timedelta(seconds=30)
STATE_FIELDS = (
    "updated_at",
    "etag",
    "step",
    "total_steps",
    "owner",
    "token",
    "lease_expires_at",
    "started_at",
    "finished_at",
    "error",
    "result_policy_id",
    "wandb_run_id",
    "waiting_for",
    "lost",
    "traceparent",
    "revision",
)
Change = Callable[[Run, datetime], Run]
_MAKE_RUN, _MAKE_RUN_TASKS = insert(RunRow.__table__), insert(RunTaskRow.__table__)  # type: ignore[arg-type]
"""Made once, and not by the unit of work, which takes three times as long."""


class RunStore:
    """Creates, claims and changes runs, by the rules of `lifecycle`; every change wakes `changed`."""

    def __init__(self, context: StoreContext) -> None:
        self._database, self._clock = context.database, context.clock
        self.changed = Notifier()

    def create(
        self,
        spec: RunSpec,
        labels: dict[str, str] | None = None,
        request_id: str = "",
        paused: bool = False,
        traceparent: str = "",
    ) -> Run:
        """Register a PENDING or PAUSED run; the same `request_id` again returns the run that the first call made, in
        whatever trace.

        Raises `InvalidInput` when the kind of run needs something that is not named, or can't use what is, `NotFound`
        when a task or the policy is not registered, `AlreadyExists` when `request_id` came with another run before.
        """
        _check_what_is_named(spec)
        labels, plain, now = labels or {}, spec_to_plain(spec), self._clock()
        creation = Creation("run", request_id, digest(plain, labels, *["paused"] * paused))

        def work(session: Session) -> Run:
            run_id = new_id("run")
            if before := creation.before(session, run_id, now):
                return _run(find(session, RunRow, "run", before))
            task_ids = {*spec.task_ids, *spec.calibration_task_ids, *spec.source_task_ids}
            lock_tasks(session, task_ids)
            if spec.policy_id:
                _check_policy_exists(session, spec.policy_id)
            state, wanted = (RunState.PAUSED,) * 2 if paused else (RunState.PENDING, RunState.RUNNING)
            run = Run(run_id, spec, labels, now, now, "1", state, wanted, traceparent=traceparent)
            made = {"id": run.id, "kind": spec.kind, "spec": plain, "labels": labels, "created_at": now}
            connection = session.connection()
            connection.execute(_MAKE_RUN, made | _changing(run))
            if task_ids:
                of_tasks = [{"run_id": run.id, "task_id": task_id} for task_id in sorted(task_ids)]
                connection.execute(_MAKE_RUN_TASKS, of_tasks)
            return run

        return self._told(self._database.write(work))

    def get(self, run_id: str) -> Run:
        """The run; raises `NotFound`."""
        with self._database.read() as session:
            run = _run(find(session, RunRow, "run", run_id))
        overdue = lifecycle.settle(run, self._clock()) != run
        return self._change(run_id, lifecycle.settle) if overdue else run

    def list(
        self, page_size: int = 0, page_token: str = "", state: RunState | None = None, kind: str = ""
    ) -> Page[Run]:
        """Runs, newest first, of the given state and kind if given."""
        self.settle()
        given = {"state": state and state.value, "kind": kind}
        return newest_page(self._database, RunRow, _run, page_size, page_token, given)

    def news(self, run_id: str, after_revision: int, after_step: int = -1) -> News:
        """The run, and its metrics (later than `after_step`) and rows reported after `after_revision`."""
        run = self.get(run_id)
        with self._database.read() as session:
            return news_of(session, run, after_revision, after_step)

    def claim(self, owner: str, lease: timedelta = LEASE) -> Run | None:
        """Give the oldest claimable run to `owner` for `lease`; None when there is none.

        Claimable is what `lifecycle.claimable` says: PENDING, resumed, or RUNNING under an expired lease. Of
        concurrent claims exactly one gets a run, under a fencing token higher than any before.
        """
        self.settle()
        now = self._clock()

        def work(session: Session) -> Run | None:
            query = select(RunRow).where(_claimable(now)).order_by(RunRow.seq).limit(1)
            row = session.scalars(query.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return None
            run = lifecycle.claim(_run(row), owner, now, lease)
            _write(row, run)
            return run

        run = self._database.write(work)
        return None if run is None else self._told(run)

    def heartbeat(self, run_id: str, token: int, lease: timedelta = LEASE, waiting_for: str = "") -> Run:
        """Renew a lease, and keep what the run waits for; raises `NotFound`, and `Conflict` for a stale token."""
        return self._change(run_id, lambda run, now: lifecycle.heartbeat(run, token, now, lease, waiting_for))

    def report(self, run_id: str, token: int, said: Report, lease: timedelta = LEASE) -> Run:
        """Apply a report and store what it carries, all or nothing; its answer carries the desired state.

        Raises `NotFound` (also for a result policy that is not registered), `Conflict` for a stale token, and
        `WrongState` for a transition that does not exist.
        """

        def work(session: Session, run: Run) -> None:
            if said.result_policy_id:
                _check_policy_exists(session, said.result_policy_id)
            append(self._database, session, run, said)

        return self._change(run_id, lambda run, now: lifecycle.report(run, token, said, now, lease), also=work)

    def pause(self, run_id: str, etag: str = "") -> Run:
        """Ask that a run pauses; raises `NotFound`, `Conflict` (etag), `WrongState`."""
        return self._change(run_id, lifecycle.pause, etag)

    def resume(self, run_id: str, etag: str = "") -> Run:
        """Withdraw a pause; raises `NotFound`, `Conflict` (etag), `WrongState`."""
        return self._change(run_id, lifecycle.resume, etag)

    def cancel(self, run_id: str, etag: str = "") -> Run:
        """Ask that a run ends; raises `NotFound`, `Conflict` (etag), `WrongState`."""
        return self._change(run_id, lifecycle.cancel, etag)

    def delete(self, run_id: str, etag: str = "", also: Callable[[Session], None] = lambda session: None) -> None:
        """Remove a run that has ended, with all that was reported of it; `also` comes first, in the same transaction.

        Raises `NotFound`, `Conflict` (etag), and `WrongState` while it has not ended.
        """
        self.settle()

        def work(session: Session) -> None:
            row = find(session, RunRow, "run", run_id, lock=True)
            check_etag("run", run_id, etag, row.etag)
            if RunState(row.state) not in FINISHED:
                raise WrongState(f"run {run_id} is {row.state}: cancel it first")
            also(session)
            session.delete(row)

        self._database.write(work)
        self.changed.notify(run_id)

    def check_holder(self, run_id: str, token: int) -> None:
        """Raise `NotFound`, or `Conflict` unless `token` holds the run."""
        lifecycle.check_holder(self.get(run_id), token)

    def settle(self) -> int:
        """Carry out pauses and cancellations of runs whose learner has vanished, and end those that none survives;
        returns how many.
        """
        now = self._clock()
        ending = or_(RunRow.desired_state != RunState.RUNNING.value, RunRow.lost + 1 >= lifecycle.MOST_LOST)
        with self._database.read() as session:
            overdue = session.scalars(select(RunRow.id).where(_expired(now), ending)).all()
        for run_id in overdue:
            self._change(run_id, lifecycle.settle)
        return len(overdue)

    def _change(
        self, run_id: str, change: Change, etag: str = "", also: Callable[[Session, Run], None] | None = None
    ) -> Run:
        now = self._clock()

        def work(session: Session) -> Run:
            row = find(session, RunRow, "run", run_id, lock=True)
            check_etag("run", run_id, etag, row.etag)
            run = change(_run(row), now)
            _write(row, run)
            if also is not None:
                also(session, run)
            return run

        return self._told(self._database.write(work))

    def _told(self, run: Run) -> Run:
        self.changed.notify(run.id)
        return run


def spec_to_plain(spec: RunSpec) -> dict[str, Any]:
    """A run's spec as JSON can hold it."""
    return vars(spec) | {
        "kind": spec.kind,
        "settings": dump(spec.settings),
        "algorithm": None if spec.algorithm is None else dump(spec.algorithm),
    }


def spec_from_plain(plain: Mapping[str, Any]) -> RunSpec:
    """The inverse of `spec_to_plain`."""
    rest = {name: value for name, value in plain.items() if name != "kind"}
    return RunSpec(
        **rest
        | {
            "task_ids": tuple(plain["task_ids"]),
            "calibration_task_ids": tuple(plain["calibration_task_ids"]),
            "source_task_ids": tuple(plain["source_task_ids"]),
            "settings": parse(KINDS[plain["kind"]].settings, plain["settings"], "stored run"),
            "algorithm": plain["algorithm"] and parse(AlgorithmConfig, plain["algorithm"], "stored run"),
        }
    )


def locked_run(session: Session, run_id: str, token: int) -> Run:
    """The run, locked until the transaction ends; raises `NotFound`, and `Conflict` unless `token` holds it."""
    run = _run(find(session, RunRow, "run", run_id, lock=True))
    lifecycle.check_holder(run, token)
    return run


def _check_what_is_named(spec: RunSpec) -> None:
    kind, of_kind = KINDS[spec.kind], f"a run of kind {spec.kind}"
    instead = kind.in_place_of_policy and getattr(spec.settings, kind.in_place_of_policy)
    wrong = [Violation(name, f"{of_kind} has none") for name in BESIDE if name != kind.beside and getattr(spec, name)]
    if spec.algorithm is not None and not kind.from_nothing:
        wrong.append(Violation("algorithm", f"{of_kind} has that of its policy"))
    if spec.policy_id and kind.from_nothing and not kind.may_go_on:
        wrong.append(Violation("policy_id", f"{of_kind} starts from nothing"))
    elif kind.in_place_of_policy and bool(spec.policy_id) == bool(instead):
        wrong.append(Violation("policy_id", f"give either a policy or settings.{kind.in_place_of_policy}"))
    elif not kind.from_nothing and not spec.policy_id and not instead:
        wrong.append(Violation("policy_id", f"is required by {of_kind}"))
    if wrong:
        raise InvalidInput("spec", wrong)


def _check_policy_exists(session: Session, policy_id: str) -> None:
    """Keeps it from being deleted until the transaction ends."""
    if session.scalar(select(PolicyRow.seq).where(PolicyRow.id == policy_id).with_for_update(read=True)) is None:
        raise NotFound("policy", policy_id)


def _expired(now: datetime) -> ColumnElement[bool]:
    return and_(RunRow.state == RunState.RUNNING.value, RunRow.lease_expires_at <= now)


def _claimable(now: datetime) -> ColumnElement[bool]:
    unheld = RunRow.state.in_([RunState.PENDING.value, RunState.PAUSED.value])
    return and_(RunRow.desired_state == RunState.RUNNING.value, or_(unheld, _expired(now)))


def _run(row: RunRow) -> Run:
    return Run(
        id=row.id,
        spec=spec_from_plain(row.spec),
        labels=row.labels,
        created_at=row.created_at,
        state=RunState(row.state),
        desired_state=RunState(row.desired_state),
        latest_metrics=from_plain(row.latest_metrics),
        **{name: getattr(row, name) for name in STATE_FIELDS},
    )


def _write(row: RunRow, run: Run) -> None:
    for name, value in _changing(run).items():
        setattr(row, name, value)


def _changing(run: Run) -> dict[str, Any]:
    """The columns that a run's life changes."""
    return {name: getattr(run, name) for name in STATE_FIELDS} | {
        "state": run.state.value,
        "desired_state": run.desired_state.value,
        "latest_metrics": to_plain(run.latest_metrics),
    }
