"""The registry's durable state, in domain terms, on SQLite or PostgreSQL plus a folder of artefacts.

What every part promises, on either database:

* A call that returned has taken effect durably; one that raised has changed nothing.
* Creations with a `request_id` take effect once, however often and concurrently they are repeated within a week.
* At any time at most one learner can change a run: the holder of its newest fencing token.
* Lists come in pages that neither repeat nor skip what was there when the first page was read.
* Nothing keeps a database connection between two calls.
"""

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.models import CheckpointRow, IdempotencyRow, PolicyRow
from services.task_registry.snapshots import Snapshots
from services.task_registry.store.common import Clock, StoreContext, utc_now
from services.task_registry.store.memories import MemoryStore
from services.task_registry.store.policies import CheckpointStore, Expected, StoredPolicies
from services.task_registry.store.records import RecordStore
from services.task_registry.store.runs import LEASE, RunStore
from services.task_registry.store.tasks import TaskStore

__all__ = ["LEASE", "Clock", "Expected", "Store", "utc_now"]


REMEMBERED = timedelta(days=7)
"""How long a creation's `request_id` is known."""


class Store:
    """Everything that the registry keeps: `tasks`, `runs`, `records`, `policies`, `checkpoints`, `memories`;
    and `snapshots` of all of it.
    """

    def __init__(self, database: Database, artefacts: ArtefactStore, clock: Clock = utc_now) -> None:
        self._database, self._artefacts, self._clock = database, artefacts, clock
        context = StoreContext(database, clock)
        self.tasks = TaskStore(context)
        self.runs = RunStore(context)
        self.records = RecordStore(context)
        self.policies = StoredPolicies(context, artefacts, self.runs)
        self.checkpoints = CheckpointStore(context, artefacts, self.runs)
        self.memories = MemoryStore(context)
        self.snapshots = Snapshots(database, artefacts, clock)

    def forget_request_ids(self) -> None:
        """Forget the `request_id`s of creations older than a week: nobody repeats those."""
        before = self._clock() - REMEMBERED

        def work(session: Session) -> None:
            session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < before))

        self._database.write(work)

    def sweep_artefacts(self) -> int:
        """Remove files that no policy and no checkpoint owns, as a crash may leave them; returns how many.

        Files younger than a day stay: an upload, perhaps to another replica, may still be about to register them.
        """
        with self._database.read() as session:
            policies = session.scalars(select(PolicyRow.artefact_key).where(PolicyRow.artefact_key.is_not(None))).all()
            checkpoints = session.scalars(select(CheckpointRow.artefact_key)).all()
        return len(self._artefacts.sweep({*map(str, policies), *checkpoints}, self._clock() - timedelta(days=1)))
