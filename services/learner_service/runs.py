"""The life of one claimed run: prepare, drive the loop, report, keep checkpoints, and let go in the right way.

A run is stopped by people (pause, cancel), by this learner shutting down, or by losing its lease. In the first three
cases the state after the last finished step is saved and the registry told; in the last nothing more is written,
because another learner owns the run by then.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.errors import CollectionStopped, Conflict, InvalidInput, LwmecpsError, ServiceUnavailable, Violation
from lwmecps_core.policy import PolicyData
from lwmecps_core.results import Row
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.rollout.inbox import Ledger
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tracking import Tracker
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.sources import resolve_source
from services.common import tracing
from services.learner_service import checkpoints
from services.learner_service.backends import backend_of
from services.learner_service.collectors import OpenCollector, RunCollector
from services.learner_service.counted import CLAIMED, ENDS, LOST, STEPS
from services.learner_service.holding import Stop, StopSignal, heartbeats
from services.learner_service.jobs import End, Job, JobRegistry, Loop, LoopInput, StepReport, Wish
from services.learner_service.profiles import Profiles
from services.learner_service.tracked import tracked_run

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class StoppableCollector:
    """A collector that raises `CollectionStopped` around a collection once the run must stop."""

    inner: Collector
    stop: StopSignal

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """As the inner collector."""
        self._check()
        with tracing.span("collect", {"tasks": len(tasks)}):
            batches = self.inner.collect(tasks, snapshot, plan)
        self._check()
        return batches

    def _check(self) -> None:
        if self.stop():
            raise CollectionStopped("the run must stop")


@dataclass(frozen=True)
class Pace:
    """How often a run talks to the registry; checkpoints are made when either bound is reached."""

    report_every_s: float = 0.5
    heartbeat_every_s: float = 1.0
    checkpoint_every_s: float = 20.0
    checkpoint_every_steps: int = 100


@dataclass(frozen=True)
class Workshop:
    """What every run needs from outside, so that tests can replace any of it."""

    registry: JobRegistry
    loops: Mapping[str, Loop]
    collectors: Mapping[str, OpenCollector]
    """Who collects, by `backend` of a run's settings (those without one are for the simulator)."""
    make_tracker: Callable[[], Tracker]
    pace: Pace = Pace()
    profiles: Profiles | None = None
    """Where runs that ask for it are profiled."""

    def work(self, job: Job, shutdown: threading.Event) -> None:
        """Work on a run until it ends, must stop, or `shutdown` is set."""
        RunSession(job, self, shutdown).work()


class RunSession:
    """One claimed run, from its claim until this learner lets go of it."""

    def __init__(self, job: Job, workshop: Workshop, shutdown: threading.Event) -> None:
        self._job, self._shop = job, workshop
        self._registry, self._pace = workshop.registry, workshop.pace
        self._stop = StopSignal(shutdown)
        self._tracker = workshop.make_tracker()
        self._last: Progress | None = None
        self._given: PolicyData | None = None
        self._collector: RunCollector | None = None
        self._ledger: Ledger | None = None
        self._saved_step, self._saved_at_s = 0, time.monotonic()
        self._news = _News(job.spec.label or job.spec.kind)
        self._facts = {"run_id": job.run_id, "kind": job.spec.kind, "token": job.token}
        self._log = log.bind(**self._facts)
        self._began_ns = time.time_ns()

    def work(self) -> None:
        """Drive the run until it ends or must stop; never raises for anything that goes wrong with the run."""
        within = {"traceparent": self._job.traceparent}
        with tracing.span("claim", self._facts, within=within, kind="consumer", brief=True):
            self._log.info("run started")
            try:
                with (
                    CLAIMED.labels(self._job.spec.kind).track_inprogress(),
                    heartbeats(self._beat, self._stop, self._pace.heartbeat_every_s),
                ):
                    self._work()
            except Conflict:
                self._log.warning("lease lost: another learner holds the run, or it was ended")
                self._abandon()
            except ServiceUnavailable as error:
                self._log.warning("run abandoned: its lease will expire", error=str(error))
                self._abandon()

    def _beat(self) -> Wish:
        waiting_for = self._collector.waiting_for() if self._collector is not None else ""
        return self._registry.heartbeat(self._job, waiting_for)

    def _work(self) -> None:
        try:
            end, policy_id = self._outcome()
        except (Conflict, ServiceUnavailable):
            raise
        except Exception as error:  # whatever a loop raises is the run's failure, not the learner's
            self._log.error("run failed", error=one_line(error), exc_info=not isinstance(error, LwmecpsError))
            self._finish(End.FAILED, error=one_line(error))
        else:
            self._finish(end, policy_id=policy_id)

    def _outcome(self) -> tuple[End, str]:
        """Drive the run; how it ends, and the policy it leaves."""
        try:
            with self._shop.profiles.of(self._job) if self._shop.profiles else nullcontext():
                complete = self._drive()
        except Exception:
            if not self._stop():
                raise
            complete = False  # cut off within a step: what counts is the state after the step before
        reason = self._stop.reason
        if reason is Stop.LOST:
            raise Conflict(f"run {self._job.run_id}: the lease was lost")
        if reason is Stop.CANCEL:
            return End.CANCELLED, ""
        if complete:
            return End.COMPLETED, self._save_policy()
        self._report()
        self._checkpoint()
        return End.PAUSED, ""

    def _drive(self) -> bool:
        """Make steps until the loop's end (true) or until the run must stop."""
        job, spec = self._job, self._job.spec
        start = self._load_checkpoint()
        self._given = policy = self._registry.load_policy(spec.policy_id) if spec.policy_id else None
        tasks = self._registry.load_tasks(spec.task_ids)
        source = resolve_source(spec.kind, tasks, spec.num_tasks, spec.task_seed)
        calibration, origin = self._others(spec.calibration_task_ids), self._others(spec.source_task_ids)
        self._tracker.start(tracked_run(job, tasks))
        opened = _entry(self._shop.collectors, "backend", backend_of(spec.settings))
        self._collector = opened(job.run_id, self._stop, job.token)
        if self._ledger is not None:
            self._collector.resume(self._ledger)
        collector = StoppableCollector(self._collector, self._stop)
        loop = _entry(self._shop.loops, "kind", spec.kind)
        for progress in loop(LoopInput(job, policy, source, calibration, origin, collector, start)):
            self._take_in(progress)
            if self._must_stop(progress):
                return False
        return True

    def _others(self, task_ids: Sequence[str]) -> TaskSource:
        """Tasks that the run names beside those it works on."""
        return resolve_source("", self._registry.load_tasks(task_ids), 0, 0) if task_ids else ()

    def _must_stop(self, progress: Progress) -> bool:
        """Whether to stop now; a pause that comes during the last step comes too late."""
        return self._stop.reason >= Stop.CANCEL or (self._stop() and progress.step < progress.total)

    def _take_in(self, progress: Progress) -> None:
        STEPS.labels(self._job.spec.kind).inc()
        progress = replace(progress, metrics=progress.metrics | self._ledger_metrics(closed=False))
        self._last = replace(progress, state=_copied(progress.state))
        self._tracker.log(progress.metrics, progress.step)
        self._news.add(progress)
        if self._news.age_s >= self._pace.report_every_s:
            self._report()
        due = (
            progress.step - self._saved_step >= self._pace.checkpoint_every_steps
            or time.monotonic() - self._saved_at_s >= self._pace.checkpoint_every_s
        )
        if due and progress.step < progress.total:
            self._report()
            self._checkpoint()

    def _report(self) -> None:
        if self._news.progress is not None:
            self._stop.hear(self._registry.report(self._job, self._news.take(self._tracker.external_id)))

    def _load_checkpoint(self) -> LoopState | None:
        data = self._registry.load_checkpoint(self._job)
        if data is None:
            return None
        state = checkpoints.from_bytes(data, f"checkpoint of run {self._job.run_id}")
        state, self._ledger = checkpoints.part_ledger(state)
        self._saved_step = state.step
        self._log.info("run resumes", step=state.step)
        return state

    def _checkpoint(self) -> None:
        """Save the state after the last finished step, unless it is saved already."""
        if self._last is not None and self._last.step != self._saved_step:
            ledger = self._collector.ledger() if self._collector is not None else None
            state = checkpoints.with_ledger(self._last.state, ledger)
            self._registry.save_checkpoint(self._job, self._last.step, checkpoints.to_bytes(state))
            self._saved_step, self._saved_at_s = self._last.step, time.monotonic()
            self._tell_collector(lambda collector: collector.commit())

    def _ledger_metrics(self, *, closed: bool) -> dict[str, float]:
        """What became of the run's transitions, as metrics; `closed`: none of them is waited for any more."""
        ledger = self._collector.ledger() if self._collector is not None else None
        if ledger is None:
            return {}
        final = ledger.closed() if closed else ledger
        return {f"rollouts_{name}": float(getattr(final, name)) for name in ("made", "used", "dropped", "queued")}

    def _save_policy(self) -> str:
        """Publish what was learnt, if anything was: an evaluation hands back the policy that it was given."""
        policy = self._last.policy if self._last is not None else None
        return self._registry.save_policy(self._job, policy) if policy is not None and policy is not self._given else ""

    def _finish(self, end: End, *, error: str = "", policy_id: str = "") -> None:
        """Tell the registry, at once when people or a shutdown wait for it, else after the trackers have caught up."""
        waited_for = end in (End.PAUSED, End.CANCELLED)
        if not waited_for:
            self._tracker.finish(end.name)
        self._news.amend(self._ledger_metrics(closed=end is not End.PAUSED))
        news = self._news.take(self._tracker.external_id)
        self._registry.finish(self._job, end, news, error=error, policy_id=policy_id)
        if waited_for:
            self._tracker.finish(end.name)
        self._tell_collector(lambda collector: collector.close(ended=end is not End.PAUSED))
        ENDS.labels(self._job.spec.kind, end.value).inc()
        tracing.past("run", self._began_ns, self._facts | {"end": end.value}, failure=error)
        self._log.info("run let go", end=end.value, step=news.step, policy_id=policy_id)

    def _abandon(self) -> None:
        self._tracker.finish("LOST")
        self._tell_collector(lambda collector: collector.close(ended=False))
        ENDS.labels(self._job.spec.kind, LOST).inc()
        tracing.past("run", self._began_ns, self._facts | {"end": "lost"}, failure="the lease was lost")

    def _tell_collector(self, tell: Callable[[RunCollector], None]) -> None:
        """Say something that may get lost: what is not acknowledged is recognised later, or expires in the broker."""
        try:
            if self._collector is not None:
                tell(self._collector)
        except LwmecpsError as error:
            self._log.warning("collector not told", error=str(error))


class _News:
    """Steps that were made and not yet reported."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._sent_s = 0.0
        self._clear()
        self.progress: Progress | None = None

    def _clear(self) -> None:
        self._metrics: dict[int, dict[str, float]] = {}
        self._rows: tuple[Row, ...] = ()
        self._trace: Mapping[str, tuple[float, ...]] = {}

    @property
    def age_s(self) -> float:
        """Time since the last report."""
        return time.monotonic() - self._sent_s

    def add(self, progress: Progress) -> None:
        self.progress = progress
        self._metrics.setdefault(progress.step, {}).update(progress.metrics)
        self._rows += tuple(replace(row, method=row.method or self._method) for row in progress.rows)
        self._trace = progress.trace or self._trace

    def amend(self, metrics: Mapping[str, float]) -> None:
        """State metrics of the last step anew."""
        if self.progress is not None and metrics:
            self._metrics.setdefault(self.progress.step, {}).update(metrics)

    def take(self, tracking_id: str) -> StepReport:
        """All that is unreported, as one report; what comes next starts from empty."""
        step, total = (self.progress.step, self.progress.total) if self.progress is not None else (None, None)
        report = StepReport(step, total, self._metrics, self._rows, self._trace, tracking_id)
        self._clear()
        self._sent_s = time.monotonic()
        return report


def _entry(table: Mapping[str, T], field: str, name: str) -> T:
    if name not in table:
        raise InvalidInput("run", [Violation(field, f"{name!r} is not one of {', '.join(table)}")])
    return table[name]


def _copied(state: LoopState) -> LoopState:
    """A state that the loop's next step can't change under our hands."""
    return LoopState(state.step, {k: v.detach().clone() for k, v in state.tensors.items()}, deepcopy(state.scalars))


def one_line(error: BaseException) -> str:
    """An error as one line: domain errors by their text, others with their type."""
    text = " ".join(str(error).split()) or "no further information"
    return text if isinstance(error, LwmecpsError) else f"{type(error).__name__}: {text}"
