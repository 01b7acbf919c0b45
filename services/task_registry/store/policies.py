"""Policies and checkpoints: what is learnt, in the database, and the files that hold the weights."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from lwmecps_core.config import dump, parse
from lwmecps_core.errors import (
    AlreadyExists,
    DamagedArtefact,
    InvalidInput,
    ModelFileNotFound,
    NotFound,
    Violation,
    WrongState,
)
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import EnvSpec
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.domain import FINISHED, Artefact, Checkpoint, Page, Policy
from services.task_registry.lifecycle import next_etag
from services.task_registry.models import CheckpointRow, PolicyRow, RunRow
from services.task_registry.store.common import Creation, StoreContext, check_etag, find, new_id
from services.task_registry.store.paging import digest, newest_page
from services.task_registry.store.runs import RunStore, locked_run

KEPT_CHECKPOINTS = 2
"""The newest, and one before in case that is damaged."""


@dataclass(frozen=True)
class Expected:
    """What the sender of a file says it is."""

    size_bytes: int
    sha256: str


class StoredPolicies:
    """Registers policies and keeps their weights; both are immutable."""

    def __init__(self, context: StoreContext, artefacts: ArtefactStore, runs: RunStore) -> None:
        self._database, self._clock, self._artefacts, self._runs = context.database, context.clock, artefacts, runs

    def create(
        self,
        name: str,
        algorithm: AlgorithmConfig,
        env_spec: EnvSpec,
        labels: dict[str, str] | None = None,
        run_id: str = "",
        token: int = 0,
        request_id: str = "",
    ) -> Policy:
        """Register a policy without weights; the same `request_id` again returns the first call's policy.

        Raises `AlreadyExists` when `request_id` came with another policy before; with a `run_id`, `NotFound`, and
        `Conflict` unless `token` holds the run.
        """
        labels, now = labels or {}, self._clock()
        columns = {
            "name": name,
            "run_id": run_id,
            "algorithm": dump(algorithm),
            "env_spec": asdict(env_spec),
            "labels": labels,
        }
        creation = Creation("policy", request_id, digest(columns))

        def work(session: Session) -> Policy:
            if run_id:
                locked_run(session, run_id, token)
            policy_id = new_id("policy")
            if made := creation.before(session, policy_id, now):
                return _policy(find(session, PolicyRow, "policy", made))
            row = PolicyRow(id=policy_id, created_at=now, etag="1", **columns)
            session.add(row)
            session.flush()
            return _policy(row)

        return self._database.write(work)

    def get(self, policy_id: str) -> Policy:
        """The policy; raises `NotFound`."""
        with self._database.read() as session:
            return _policy(find(session, PolicyRow, "policy", policy_id))

    def list(self, page_size: int = 0, page_token: str = "", run_id: str = "", name: str = "") -> Page[Policy]:
        """Policies, newest first, of one run or name if given."""
        given = {"run_id": run_id, "name": name}
        return newest_page(self._database, PolicyRow, _policy, page_size, page_token, given)

    def upload(self, policy_id: str, token: int, chunks: Iterable[bytes], expected: Expected) -> Policy:
        """Store the weights of a policy; the same weights again change nothing.

        Raises `NotFound`, `InvalidInput` when something else than `expected` arrives (nothing is stored then),
        `AlreadyExists` when the policy has other weights, and `Conflict` unless `token` holds the run that made it.
        """
        run_id = self.get(policy_id).run_id
        if run_id:
            self._runs.check_holder(run_id, token)
        # A key of its own for every upload: a loser of a race never touches the winner's file.
        artefact = _store(self._artefacts, f"policies/{policy_id}/{new_id('weights')}.safetensors", chunks, expected)

        def work(session: Session) -> Policy:
            if run_id:
                locked_run(session, run_id, token)
            row = find(session, PolicyRow, "policy", policy_id, lock=True)
            if row.artefact_sha256 is None:
                row.artefact_key, row.artefact_size_bytes = artefact.key, artefact.size_bytes
                row.artefact_sha256, row.etag = artefact.sha256, next_etag(row.etag)
            elif row.artefact_sha256 != artefact.sha256:
                raise AlreadyExists(f"policy {policy_id} already has other weights")
            return _policy(row)

        with _removed_on_error(self._artefacts, artefact):
            policy = self._database.write(work)
        if policy.artefact != artefact:
            self._artefacts.delete(artefact.key)
        return policy

    def download(self, policy_id: str) -> tuple[Artefact, Iterator[bytes]]:
        """What a policy's weights are, and their content, checked, in chunks.

        Raises `NotFound`, `ModelFileNotFound` when the weights are not there, `DamagedArtefact`.
        """
        policy = self.get(policy_id)
        if policy.artefact is None:
            raise ModelFileNotFound(policy_id)
        try:
            return policy.artefact, self._artefacts.read(policy.artefact)
        except FileNotFoundError:
            raise ModelFileNotFound(policy_id) from None

    def delete(self, policy_id: str, etag: str = "") -> None:
        """Remove a policy and its weights.

        Raises `NotFound`, `Conflict` (etag), and `WrongState` while an unfinished run starts from it or makes it.
        """

        def work(session: Session) -> str | None:
            row = find(session, PolicyRow, "policy", policy_id, lock=True)
            check_etag("policy", policy_id, etag, row.etag)
            unfinished = select(RunRow.id, RunRow.spec).where(RunRow.state.not_in([s.value for s in FINISHED]))
            for run_id, spec in session.execute(unfinished):
                if spec.get("policy_id") == policy_id or run_id == row.run_id:
                    raise WrongState(f"policy {policy_id} is used by the unfinished run {run_id}")
            session.delete(row)
            return row.artefact_key

        if key := self._database.write(work):
            self._artefacts.delete(key)


class CheckpointStore:
    """Keeps the newest checkpoints of every run, written only by the learner that holds it."""

    def __init__(self, context: StoreContext, artefacts: ArtefactStore, runs: RunStore) -> None:
        self._database, self._clock, self._artefacts, self._runs = context.database, context.clock, artefacts, runs

    def upload(self, run_id: str, token: int, step: int, chunks: Iterable[bytes], expected: Expected) -> Checkpoint:
        """Store the state of a run's loop after `step` steps, and forget all but the newest two.

        Raises `NotFound`, `InvalidInput` when something else than `expected` arrives, and `Conflict` for a stale token,
        before and after the transfer.
        """
        self._runs.check_holder(run_id, token)
        id_, now = new_id("checkpoint"), self._clock()
        artefact = _store(self._artefacts, f"checkpoints/{run_id}/{id_}", chunks, expected)

        def work(session: Session) -> tuple[Checkpoint, list[str]]:
            locked_run(session, run_id, token)
            row = CheckpointRow(
                id=id_,
                run_id=run_id,
                step=step,
                token=token,
                artefact_key=artefact.key,
                artefact_size_bytes=artefact.size_bytes,
                artefact_sha256=artefact.sha256,
                created_at=now,
            )
            session.add(row)
            session.flush()
            old = session.scalars(_newest_first(run_id).offset(KEPT_CHECKPOINTS)).all()
            for each in old:
                session.delete(each)
            return _checkpoint(row), [each.artefact_key for each in old]

        with _removed_on_error(self._artefacts, artefact):
            checkpoint, forgotten = self._database.write(work)
        for key in forgotten:
            self._artefacts.delete(key)
        return checkpoint

    def delete_run(self, run_id: str, etag: str = "") -> None:
        """Remove a run that has ended, and the files of its checkpoints; see `RunStore.delete`."""
        keys: list[str] = []

        def work(session: Session) -> None:
            keys[:] = session.scalars(select(CheckpointRow.artefact_key).where(CheckpointRow.run_id == run_id))

        self._runs.delete(run_id, etag, also=work)
        for key in keys:
            self._artefacts.delete(key)

    def list(self, run_id: str) -> tuple[Checkpoint, ...]:
        """The checkpoints of a run, newest first; raises `NotFound` for an unknown run."""
        self._runs.get(run_id)
        with self._database.read() as session:
            return tuple(_checkpoint(row) for row in session.scalars(_newest_first(run_id)))

    def download(self, run_id: str) -> tuple[Checkpoint, Iterator[bytes]]:
        """The newest checkpoint that is whole, in chunks.

        Raises `NotFound` when the run has none, and `DamagedArtefact` when it has some but all are damaged.
        """
        damage: Exception | None = None
        for checkpoint in self.list(run_id):
            try:
                return checkpoint, self._artefacts.read(checkpoint.artefact)
            except FileNotFoundError:
                damage = DamagedArtefact(checkpoint.artefact.key, "the file is missing")
            except DamagedArtefact as error:
                damage = error
        raise damage or NotFound("checkpoint of run", run_id)


def _store(artefacts: ArtefactStore, key: str, chunks: Iterable[bytes], expected: Expected) -> Artefact:
    artefact = artefacts.write(key, _at_most(chunks, expected.size_bytes))
    with _removed_on_error(artefacts, artefact):
        if artefact.size_bytes != expected.size_bytes:
            raise _mismatch("size_bytes", f"announced {expected.size_bytes} bytes, got {artefact.size_bytes}")
        if artefact.sha256 != expected.sha256:
            raise _mismatch("sha256", f"announced {expected.sha256}, got {artefact.sha256}")
    return artefact


def _at_most(chunks: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    left = size_bytes
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise _mismatch("size_bytes", f"announced {size_bytes} bytes, got more")
        yield chunk


def _mismatch(field: str, reason: str) -> InvalidInput:
    return InvalidInput("header: artefact", [Violation(field, reason)])


@contextmanager
def _removed_on_error(artefacts: ArtefactStore, artefact: Artefact) -> Iterator[None]:
    try:
        yield
    except BaseException:
        artefacts.delete(artefact.key)
        raise


def _newest_first(run_id: str) -> Select[CheckpointRow]:
    return select(CheckpointRow).where(CheckpointRow.run_id == run_id).order_by(CheckpointRow.seq.desc())


def _policy(row: PolicyRow) -> Policy:
    artefact = None
    if row.artefact_key is not None and row.artefact_size_bytes is not None and row.artefact_sha256 is not None:
        artefact = Artefact(row.artefact_key, row.artefact_size_bytes, row.artefact_sha256)
    return Policy(
        id=row.id,
        name=row.name,
        run_id=row.run_id,
        labels=row.labels,
        created_at=row.created_at,
        etag=row.etag,
        algorithm=parse(AlgorithmConfig, row.algorithm, f"stored policy {row.id}"),
        env_spec=parse(EnvSpec, row.env_spec, f"stored policy {row.id}"),
        artefact=artefact,
    )


def _checkpoint(row: CheckpointRow) -> Checkpoint:
    artefact = Artefact(row.artefact_key, row.artefact_size_bytes, row.artefact_sha256)
    return Checkpoint(
        id=row.id, run_id=row.run_id, step=row.step, token=row.token, artefact=artefact, created_at=row.created_at
    )
