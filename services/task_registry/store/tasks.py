"""Registered tasks."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from lwmecps_core.config import dump, parse
from lwmecps_core.errors import NotFound, WrongState
from lwmecps_core.specs import TaskSpec
from services.task_registry.domain import FINISHED, Page, Task
from services.task_registry.models import RunRow, RunTaskRow, TaskRow
from services.task_registry.store.common import Context, Creation, check_etag, new_id
from services.task_registry.store.paging import cut_page, digest, page_limit, read_token


class TaskStore:
    """Creates, reads and deletes tasks; a task never changes."""

    def __init__(self, context: Context) -> None:
        self._database, self._clock = context.database, context.clock

    def create(self, spec: TaskSpec, labels: dict[str, str] | None = None, request_id: str = "") -> Task:
        """Register a task; the same `request_id` again returns the task that the first call made.

        Raises `AlreadyExists` when `request_id` came with another task before, `NotFound` when its task is deleted.
        """
        labels, plain, now = labels or {}, dump(spec), self._clock()
        creation = Creation("task", request_id, digest(plain, labels))

        def work(session: Session) -> Task:
            if made := creation.replay(session):
                return _task(find_task(session, made))
            row = TaskRow(id=new_id("task"), name=spec.name, spec=plain, labels=labels, created_at=now, etag="1")
            session.add(row)
            creation.record(session, row.id, now)
            session.flush()
            return _task(row)

        return self._database.write(work)

    def get(self, task_id: str) -> Task:
        """The task; raises `NotFound`."""
        with self._database.read() as session:
            return _task(find_task(session, task_id))

    def list(self, page_size: int = 0, page_token: str = "", name: str = "", family: str = "") -> Page[Task]:
        """Tasks, newest first, of one name or family if given."""
        filters = digest("tasks", name, family)
        after, limit = read_token(page_token, filters), page_limit(page_size)
        query = select(TaskRow).order_by(TaskRow.seq.desc()).limit(limit + 1)
        if name:
            query = query.where(TaskRow.name == name)
        if family:
            query = query.where(TaskRow.spec["family"].as_string() == family)
        if after:
            query = query.where(TaskRow.seq < after[0])
        with self._database.read() as session:
            return cut_page(session.scalars(query).all(), limit, filters, lambda row: [row.seq], _task)

    def delete(self, task_id: str, etag: str = "") -> None:
        """Remove a task.

        Raises `NotFound`, `Conflict` when `etag` (if given) is not the task's, and `WrongState` while an unfinished run
        uses it.
        """

        def work(session: Session) -> None:
            row = find_task(session, task_id, lock=True)
            check_etag("task", task_id, etag, row.etag)
            users = session.scalars(
                select(RunRow.id)
                .join(RunTaskRow, RunTaskRow.run_id == RunRow.id)
                .where(RunTaskRow.task_id == task_id, RunRow.state.not_in([state.value for state in FINISHED]))
                .limit(1)
            ).all()
            if users:
                raise WrongState(f"task {task_id} is used by the unfinished run {users[0]}")
            session.delete(row)

        self._database.write(work)


def find_task(session: Session, task_id: str, *, lock: bool = False, share: bool = False) -> TaskRow:
    """The row of a task, locked against change (`lock`) or deletion (`share`) until the transaction ends."""
    query = select(TaskRow).where(TaskRow.id == task_id)
    if lock or share:
        query = query.with_for_update(read=share)
    row = session.scalars(query).one_or_none()
    if row is None:
        raise NotFound("task", task_id)
    return row


def _task(row: TaskRow) -> Task:
    spec = parse(TaskSpec, row.spec, f"stored task {row.id}")
    return Task(id=row.id, spec=spec, labels=row.labels, created_at=row.created_at, etag=row.etag)
