"""Policies, their weights, and checkpoints, on each database."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lwmecps_core.errors import AlreadyExists, Conflict, DamagedArtefact, InvalidInput, ModelFileNotFound, NotFound
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.store import Expected, Store
from tests.task_registry.making import Clock, claimed

WEIGHTS = [b"safe" * 1000, b"tensors"]


def expected(chunks: list[bytes]) -> Expected:
    content = b"".join(chunks)
    return Expected(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def make_policy(store: Store, **changes: str) -> str:
    return store.policies.create("p", "run-1", {"algorithm": "ppo"}, **changes).id  # type: ignore[arg-type]


def test_weights_come_back_as_they_were_sent(store: Store) -> None:
    id_ = make_policy(store)
    uploaded = store.policies.upload(id_, WEIGHTS, expected(WEIGHTS))
    policy, chunks = store.policies.download(id_)
    assert b"".join(chunks) == b"".join(WEIGHTS)
    assert policy == uploaded == store.policies.get(id_)
    assert policy.artefact is not None and policy.artefact.sha256 == expected(WEIGHTS).sha256


def test_weights_that_were_never_uploaded_or_have_vanished_are_named(store: Store, artefacts: ArtefactStore) -> None:
    id_ = make_policy(store)
    with pytest.raises(ModelFileNotFound, match=f"^Model file not found: {id_}$"):
        store.policies.download(id_)
    store.policies.upload(id_, WEIGHTS, expected(WEIGHTS))
    for key in artefacts.keys():
        artefacts.delete(key)
    with pytest.raises(ModelFileNotFound, match=f"^Model file not found: {id_}$"):
        store.policies.download(id_)
    with pytest.raises(NotFound, match="policy not found: policy-x"):
        store.policies.download("policy-x")


def test_truncated_weights_are_refused_by_name(store: Store, artefacts: ArtefactStore, tmp_path: Path) -> None:
    id_ = make_policy(store)
    store.policies.upload(id_, WEIGHTS, Expected())
    (key,) = artefacts.keys()
    (tmp_path / "artefacts" / key).write_bytes(WEIGHTS[0])
    with pytest.raises(DamagedArtefact, match=id_):
        store.policies.download(id_)


@pytest.mark.parametrize("wrong", [Expected(sha256="00"), Expected(size_bytes=1)])
def test_an_upload_that_is_not_what_it_says_stores_nothing(
    store: Store, artefacts: ArtefactStore, wrong: Expected
) -> None:
    id_ = make_policy(store)
    with pytest.raises(InvalidInput, match="announced"):
        store.policies.upload(id_, WEIGHTS, wrong)
    assert artefacts.keys() == set()
    assert store.policies.get(id_).artefact is None


def test_weights_never_change(store: Store, artefacts: ArtefactStore) -> None:
    id_ = make_policy(store)
    first = store.policies.upload(id_, WEIGHTS, Expected())
    assert store.policies.upload(id_, WEIGHTS, Expected()) == first
    with pytest.raises(AlreadyExists):
        store.policies.upload(id_, [b"other"], Expected())
    assert first.artefact is not None and artefacts.keys() == {first.artefact.key}


def test_of_concurrent_uploads_of_other_weights_exactly_one_wins(store: Store, artefacts: ArtefactStore) -> None:
    id_ = make_policy(store)

    def upload(content: bytes) -> bool:
        try:
            store.policies.upload(id_, [content], Expected())
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(upload, [b"a", b"b", b"c", b"d"])) == 1
    assert len(artefacts.keys()) == 1
    assert len(b"".join(store.policies.download(id_)[1])) == 1


def test_policies_are_created_once_and_listed_by_run_and_name(store: Store) -> None:
    first = make_policy(store, request_id="r")
    assert make_policy(store, request_id="r") == first
    other = store.policies.create("q", "run-2", {}).id
    assert [policy.id for policy in store.policies.list().items] == [other, first]
    assert [policy.id for policy in store.policies.list(run_id="run-1").items] == [first]
    assert [policy.id for policy in store.policies.list(name="q").items] == [other]


def test_only_the_newest_two_checkpoints_are_kept(store: Store, artefacts: ArtefactStore) -> None:
    run = claimed(store)
    for step in range(4):
        store.checkpoints.upload(run.id, run.token, step, [f"state {step}".encode()], Expected())
    assert [checkpoint.step for checkpoint in store.checkpoints.list(run.id)] == [3, 2]
    assert len(artefacts.keys()) == 2
    newest, chunks = store.checkpoints.download(run.id)
    assert (newest.step, b"".join(chunks)) == (3, b"state 3")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    store: Store, artefacts: ArtefactStore, tmp_path: Path
) -> None:
    run = claimed(store)
    made = [store.checkpoints.upload(run.id, run.token, step, [b"state"], Expected()) for step in range(2)]
    (tmp_path / "artefacts" / made[1].artefact.key).write_bytes(b"sta")
    assert store.checkpoints.download(run.id)[0] == made[0]
    artefacts.delete(made[0].artefact.key)
    with pytest.raises(DamagedArtefact):
        store.checkpoints.download(run.id)


def test_a_run_without_checkpoints_says_so(store: Store) -> None:
    run = claimed(store)
    with pytest.raises(NotFound, match=run.id):
        store.checkpoints.download(run.id)


def test_a_checkpoint_under_a_stale_token_is_refused(store: Store, artefacts: ArtefactStore, clock: Clock) -> None:
    old = claimed(store, "first")

    def slow() -> Iterator[bytes]:
        yield b"half"
        clock.pass_s(60)
        assert store.runs.claim("second") is not None
        yield b"rest"

    with pytest.raises(Conflict, match="stale"):
        store.checkpoints.upload(old.id, old.token, 1, slow(), Expected())
    with pytest.raises(Conflict, match="stale"):
        store.checkpoints.upload(old.id, old.token, 1, [b"late"], Expected())
    assert artefacts.keys() == set()
    assert store.checkpoints.list(old.id) == ()
