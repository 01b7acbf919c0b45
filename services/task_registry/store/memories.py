"""What policies remember of tasks' clusters."""

import hashlib

from sqlalchemy import select
from sqlalchemy.orm import Session

from lwmecps_core.errors import InvalidInput, NotFound, Violation
from services.task_registry.domain import Page, StoredMemory
from services.task_registry.models import MemoryRow, TaskRow
from services.task_registry.store.common import StoreContext, check_etag, find
from services.task_registry.store.paging import newest_page
from services.task_registry.store.tasks import lock_tasks


class MemoryStore:
    """Keeps one content for each task and name; it goes with its task."""

    def __init__(self, context: StoreContext) -> None:
        self._database, self._clock = context.database, context.clock

    def put(self, task_id: str, name: str, content: bytes, etag: str = "") -> StoredMemory:
        """Keep `content`, in place of what was kept; what is kept already changes nothing.

        Raises `NotFound` for an unknown task, `InvalidInput` for a distribution, and `Conflict` when `etag` (if given)
        is not that of what is kept.
        """
        digest, now = hashlib.sha256(content).hexdigest()[:32], self._clock()

        def work(session: Session) -> StoredMemory:
            lock_tasks(session, [task_id])
            if find(session, TaskRow, "task", task_id).kind != "task":
                reason = f"{task_id} is a distribution: only a task has a cluster to remember"
                raise InvalidInput("request", [Violation("task_id", reason)])
            row = _row(session, task_id, name, lock=True)
            if row is None:
                check_etag("memory", f"{task_id}/{name}", etag, "")
                row = MemoryRow(task_id=task_id, name=name, created_at=now)
                session.add(row)
            elif row.etag == digest:
                return _memory(row)
            else:
                check_etag("memory", f"{task_id}/{name}", etag, row.etag)
            row.content, row.size_bytes, row.etag, row.updated_at = content, len(content), digest, now
            session.flush()
            return _memory(row)

        return self._database.write(work)

    def get(self, task_id: str, name: str) -> StoredMemory:
        """What is kept, with its content; raises `NotFound`."""
        with self._database.read() as session:
            row = _row(session, task_id, name)
            if row is None:
                raise NotFound("memory", f"{task_id}/{name}")
            return _memory(row, row.content)

    def list(self, page_size: int = 0, page_token: str = "", task_id: str = "") -> Page[StoredMemory]:
        """What is kept, of one task if given, without contents; what was put there last for the first time first."""
        return newest_page(self._database, MemoryRow, _memory, page_size, page_token, {"task_id": task_id})

    def delete(self, task_id: str, name: str, etag: str = "") -> None:
        """Forget; raises `NotFound`, and `Conflict` when `etag` (if given) is not that of what is kept."""

        def work(session: Session) -> None:
            row = _row(session, task_id, name, lock=True)
            if row is None:
                raise NotFound("memory", f"{task_id}/{name}")
            check_etag("memory", f"{task_id}/{name}", etag, row.etag)
            session.delete(row)

        self._database.write(work)


def _row(session: Session, task_id: str, name: str, *, lock: bool = False) -> MemoryRow | None:
    query = select(MemoryRow).where(MemoryRow.task_id == task_id, MemoryRow.name == name)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def _memory(row: MemoryRow, content: bytes = b"") -> StoredMemory:
    return StoredMemory(row.task_id, row.name, row.size_bytes, row.etag, row.created_at, row.updated_at, content)
