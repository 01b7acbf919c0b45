"""Registered tasks."""

from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, delete, exists, select
from sqlalchemy.orm import Session

from lwmecps_core.config import dump, parse
from lwmecps_core.errors import NotFound, WrongState
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.bounds import check_multipliers
from services.task_registry.domain import FINISHED, ListedTask, Page, Task
from services.task_registry.models import RecordingRow, RunRow, RunTaskRow, TaskRecordingRow, TaskRow
from services.task_registry.store.common import Creation, StoreContext, check_etag, find, new_id
from services.task_registry.store.paging import digest, newest_page
from services.task_registry.store.recordings import put_in, summary_from_plain, summary_of, summary_to_plain, take_out

_LOCKED = select(TaskRow.id).where(TaskRow.id.in_(bindparam("ids", expanding=True))).with_for_update(read=True)
KINDS: Mapping[str, type[TaskSpec] | type[TaskDistribution]] = {"task": TaskSpec, "distribution": TaskDistribution}


class TaskStore:
    """Creates, reads and deletes tasks; a task never changes."""

    def __init__(self, context: StoreContext) -> None:
        self._database, self._clock = context.database, context.clock

    def create(
        self,
        spec: TaskSpec | TaskDistribution,
        name: str = "",
        labels: dict[str, str] | None = None,
        request_id: str = "",
    ) -> Task:
        """Register a task (under its own name) or a distribution (under `name`, by default its family's).

        The same `request_id` again returns the task that the first call made. Raises `InvalidInput` where a
        multiplier has no bound, and `AlreadyExists` when `request_id`
        came with another task before, `NotFound` when its task is deleted.
        """
        name = spec.name if isinstance(spec, TaskSpec) else name or spec.family
        check_multipliers(spec, "task")
        kind = next(kind for kind, cls in KINDS.items() if isinstance(spec, cls))
        labels, plain, now = labels or {}, dump(spec), self._clock()
        asked = digest(kind, name, plain, labels) if request_id else ""
        creation = Creation("task", request_id, asked)
        rest, numbers = take_out(plain)
        summary = summary_of(kind, spec, numbers)

        def work(session: Session) -> Task:
            task_id = new_id("task")
            if made := creation.before(session, task_id, now):
                return _task(session, find(session, TaskRow, "task", made))
            row = TaskRow(
                id=task_id,
                name=name,
                kind=kind,
                family=spec.family,
                spec=rest,
                labels=labels,
                created_at=now,
                etag="1",
                summary=summary_to_plain(summary),
            )
            session.add(row)
            session.flush()
            if summary.recording:
                kept = {"sha256": summary.recording.sha256, "content": numbers}
                session.execute(self._database.insert(RecordingRow).values(kept).on_conflict_do_nothing())
                session.add(TaskRecordingRow(task_id=row.id, sha256=summary.recording.sha256))
            return Task(**vars(_listed(row)), spec=spec)

        return self._database.write(work)

    def get(self, task_id: str) -> Task:
        """The task; raises `NotFound`."""
        with self._database.read() as session:
            return _task(session, find(session, TaskRow, "task", task_id))

    def find(self, task_id: str) -> ListedTask:
        """The task as lists show it; raises `NotFound`."""
        with self._database.read() as session:
            return _listed(find(session, TaskRow, "task", task_id))

    def list(self, page_size: int = 0, page_token: str = "", name: str = "", family: str = "") -> Page[ListedTask]:
        """Tasks, newest first, of one name or family if given."""
        given = {"name": name, "family": family}
        return newest_page(self._database, TaskRow, _listed, page_size, page_token, given)

    def recording(self, sha256: str) -> bytes:
        """Recorded users of one or more tasks; raises `NotFound`."""
        with self._database.read() as session:
            return _content(session, sha256)

    def delete(self, task_id: str, etag: str = "") -> None:
        """Remove a task, and its recording unless another task has it too.

        Raises `NotFound`, `Conflict` when `etag` (if given) is not the task's, and `WrongState` while an unfinished run
        uses it.
        """

        def work(session: Session) -> None:
            row = find(session, TaskRow, "task", task_id, lock=True)
            check_etag("task", task_id, etag, row.etag)
            users = session.scalars(
                select(RunRow.id)
                .join(RunTaskRow, RunTaskRow.run_id == RunRow.id)
                .where(RunTaskRow.task_id == task_id, RunRow.state.not_in([state.value for state in FINISHED]))
                .limit(1)
            ).all()
            if users:
                raise WrongState(f"task {task_id} is used by the unfinished run {users[0]}")
            recording = summary_from_plain(row.summary).recording
            session.delete(row)
            session.flush()
            if recording:
                used = exists().where(TaskRecordingRow.sha256 == recording.sha256)
                session.execute(delete(RecordingRow).where(RecordingRow.sha256 == recording.sha256, ~used))

        self._database.write(work)


def lock_tasks(session: Session, task_ids: Collection[str]) -> None:
    """Keep tasks from being deleted until the transaction ends; raises `NotFound` for one that isn't there."""
    found = session.connection().execute(_LOCKED, {"ids": list(task_ids)}).scalars().all()
    for missing in sorted(set(task_ids) - set(found)):
        raise NotFound("task", missing)


def _listed(row: TaskRow) -> ListedTask:
    return ListedTask(
        id=row.id,
        name=row.name,
        summary=summary_from_plain(row.summary),
        labels=row.labels,
        created_at=row.created_at,
        etag=row.etag,
    )


def _task(session: Session, row: TaskRow) -> Task:
    listed, plain = _listed(row), row.spec
    if recording := listed.summary.recording:
        plain = put_in(plain, _content(session, recording.sha256), recording)
    return Task(**vars(listed), spec=parse(KINDS[row.kind], plain, f"stored task {row.id}"))


def _content(session: Session, sha256: str) -> bytes:
    content = session.scalar(select(RecordingRow.content).where(RecordingRow.sha256 == sha256))
    if content is None:
        raise NotFound("recording", sha256)
    return content
