"""Runs: their creation, their leases and their states."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from lwmecps_core.errors import NotFound
from services.task_registry import lifecycle
from services.task_registry.domain import Page, Report, Run, RunSpec, RunState
from services.task_registry.models import PolicyRow, RunRow, RunTaskRow
from services.task_registry.notifier import Notifier
from services.task_registry.store.common import Context, Creation, check_etag, new_id
from services.task_registry.store.paging import cut_page, digest, page_limit, read_token
from services.task_registry.store.records import append_metrics, append_rows, append_trace, from_plain, to_plain
from services.task_registry.store.tasks import find_task

LEASE = timedelta(seconds=30)
STATE_FIELDS = (
    "updated_at", "etag", "step", "total_steps", "owner", "token", "lease_expires_at", "started_at", "finished_at",
    "error", "result_policy_id", "tracking_id",
)  # fmt: skip
Change = Callable[[Run, datetime], Run]


class RunStore:
    """Creates, claims and changes runs, by the rules of `lifecycle`; every change wakes `changed`."""

    def __init__(self, context: Context) -> None:
        self._database, self._clock = context.database, context.clock
        self.changed = Notifier()

    def create(self, spec: RunSpec, labels: dict[str, str] | None = None, request_id: str = "") -> Run:
        """Register a PENDING run; the same `request_id` again returns the run that the first call made.

        Raises `NotFound` when a task or the policy it uses is not registered, `AlreadyExists` when `request_id` came
        with another run before.
        """
        labels, now = labels or {}, self._clock()
        creation = Creation("run", request_id, digest(spec.kind, spec.settings, spec.task_ids, spec.policy_id, labels))

        def work(session: Session) -> Run:
            if made := creation.replay(session):
                return _run(_find(session, made))
            for task_id in sorted(set(spec.task_ids)):
                find_task(session, task_id, share=True)
            if spec.policy_id and session.scalar(select(PolicyRow.seq).where(PolicyRow.id == spec.policy_id)) is None:
                raise NotFound("policy", spec.policy_id)
            run = Run(id=new_id("run"), spec=spec, labels=labels, created_at=now, updated_at=now, etag="1")
            row = RunRow(
                id=run.id, kind=spec.kind, settings=spec.settings, policy_id=spec.policy_id, labels=labels,
                created_at=now, tasks=[RunTaskRow(position=i, task_id=t) for i, t in enumerate(spec.task_ids)],
            )  # fmt: skip
            _write(row, run)
            session.add(row)
            creation.record(session, run.id, now)
            return run

        run = self._database.write(work)
        self.changed.notify()
        return run

    def get(self, run_id: str) -> Run:
        """The run; raises `NotFound`."""
        with self._database.read() as session:
            return _run(_find(session, run_id))

    def list(
        self, page_size: int = 0, page_token: str = "", states: Collection[RunState] = (), kind: str = "",
        task_id: str = "",
    ) -> Page[Run]:  # fmt: skip
        """Runs, newest first, of the given states, kind and task if given."""
        filters = digest("runs", sorted(states), kind, task_id)
        after, limit = read_token(page_token, filters), page_limit(page_size)
        query = select(RunRow).order_by(RunRow.seq.desc()).limit(limit + 1)
        if states:
            query = query.where(RunRow.state.in_([state.value for state in states]))
        if kind:
            query = query.where(RunRow.kind == kind)
        if task_id:
            query = query.where(RunRow.id.in_(select(RunTaskRow.run_id).where(RunTaskRow.task_id == task_id)))
        if after:
            query = query.where(RunRow.seq < after[0])
        with self._database.read() as session:
            rows = session.scalars(query).all()
            return cut_page(rows, limit, filters, lambda row: [row.seq], _run)

    def claim(self, owner: str, kinds: Collection[str] = (), lease: timedelta = LEASE) -> Run | None:
        """Give the oldest claimable run (of `kinds`, if given) to `owner` for `lease`; None when there is none.

        Claimable is what `lifecycle.claimable` says: PENDING, resumed, or RUNNING under an expired lease. Of
        concurrent claims exactly one gets a run, under a fencing token higher than any before.
        """
        self.settle()
        now = self._clock()

        def work(session: Session) -> Run | None:
            query = (
                select(RunRow)
                .where(_claimable(now))
                .order_by(RunRow.seq)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if kinds:
                query = query.where(RunRow.kind.in_(list(kinds)))
            row = session.scalars(query).one_or_none()
            if row is None:
                return None
            run = lifecycle.claim(_run(row), owner, now, lease)
            _write(row, run)
            return run

        run = self._database.write(work)
        if run is not None:
            self.changed.notify()
        return run

    def claim_one(self, run_id: str, owner: str, lease: timedelta = LEASE) -> Run:
        """Give one certain run to `owner`; raises `NotFound`, and `WrongState` when it can't be claimed."""
        self.settle()
        return self._change(run_id, lambda run, now: lifecycle.claim(run, owner, now, lease))

    def heartbeat(self, run_id: str, token: int, lease: timedelta = LEASE) -> Run:
        """Renew a lease; raises `NotFound`, and `Conflict` for a stale token."""
        return self._change(run_id, lambda run, now: lifecycle.renew(run, token, now, lease), quiet=True)

    def report(self, run_id: str, token: int, said: Report, lease: timedelta = LEASE) -> Run:
        """Apply a report and store what it carries, all or nothing; its answer carries the desired state.

        Raises `NotFound`, `Conflict` for a stale token, and `WrongState` for a transition that does not exist.
        """

        def work(session: Session, run: Run) -> None:
            append_metrics(self._database, session, run.id, said.metrics)
            append_rows(self._database, session, run.id, said.rows)
            append_trace(self._database, session, run.id, run.step, said.trace)

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

    def check_holder(self, run_id: str, token: int) -> None:
        """Raise `NotFound`, or `Conflict` unless `token` holds the run."""
        lifecycle.check_holder(self.get(run_id), token)

    def settle(self) -> int:
        """Carry out pauses and cancellations of runs whose learner has vanished; returns how many."""
        now = self._clock()
        with self._database.read() as session:
            overdue = session.scalars(select(RunRow.id).where(_expired(now), RunRow.desired_state != "running")).all()
        for run_id in overdue:
            self._change(run_id, lifecycle.settle)
        return len(overdue)

    def _change(
        self, run_id: str, change: Change, etag: str = "", also: Callable[[Session, Run], None] | None = None,
        quiet: bool = False,
    ) -> Run:  # fmt: skip
        now = self._clock()

        def work(session: Session) -> Run:
            row = _find(session, run_id, lock=True)
            check_etag("run", run_id, etag, row.etag)
            run = change(_run(row), now)
            _write(row, run)
            if also is not None:
                also(session, run)
            return run

        run = self._database.write(work)
        if not quiet:
            self.changed.notify()
        return run


def locked_run(session: Session, run_id: str, token: int) -> Run:
    """The run, locked until the transaction ends; raises `NotFound`, and `Conflict` unless `token` holds it."""
    run = _run(_find(session, run_id, lock=True))
    lifecycle.check_holder(run, token)
    return run


def _expired(now: datetime):  # type: ignore[no-untyped-def]
    return and_(RunRow.state == RunState.RUNNING.value, RunRow.lease_expires_at <= now)


def _claimable(now: datetime):  # type: ignore[no-untyped-def]
    unheld = RunRow.state.in_([RunState.PENDING.value, RunState.PAUSED.value])
    return and_(RunRow.desired_state == RunState.RUNNING.value, or_(unheld, _expired(now)))


def _find(session: Session, run_id: str, *, lock: bool = False) -> RunRow:
    query = select(RunRow).where(RunRow.id == run_id)
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("run", run_id)
    return row


def _run(row: RunRow) -> Run:
    tasks = tuple(task.task_id for task in row.tasks)
    return Run(
        id=row.id,
        spec=RunSpec(kind=row.kind, settings=row.settings, task_ids=tasks, policy_id=row.policy_id),
        labels=row.labels,
        created_at=row.created_at,
        state=RunState(row.state),
        desired_state=RunState(row.desired_state),
        latest_metrics=from_plain(row.latest_metrics),
        **{name: getattr(row, name) for name in STATE_FIELDS},
    )


def _write(row: RunRow, run: Run) -> None:
    for name in STATE_FIELDS:
        setattr(row, name, getattr(run, name))
    row.state, row.desired_state = run.state.value, run.desired_state.value
    row.latest_metrics = to_plain(run.latest_metrics)
