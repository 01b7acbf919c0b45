"""Policies, their weights, and checkpoints, on each database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lwmecps_core.errors import AlreadyExists, Conflict, DamagedArtefact, InvalidInput, ModelFileNotFound, NotFound
from lwmecps_core.run_config import PPOConfig
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.domain import Checkpoint, Policy, Run
from services.task_registry.store import Expected, Store
from tests.task_registry.making import ENV_SPEC, Clock, claimed, describe, make_policy, make_weights


def upload(store: Store, policy_id: str, content: bytes, token: int = 0) -> Policy:
    return store.policies.upload(policy_id, token, [content[:1000], content[1000:]], describe(content))


def save(store: Store, run: Run, step: int, content: bytes) -> Checkpoint:
    return store.checkpoints.upload(run.id, run.token, step, [content], describe(content))


def test_a_policy_comes_back_equal(store: Store) -> None:
    made = make_policy(store, labels={"k": "v"})
    assert store.policies.get(made.id) == made
    assert (made.algorithm, made.env_spec, made.artefact) == (PPOConfig(hidden_size=(8,)), ENV_SPEC, None)


def test_weights_come_back_as_they_were_sent(store: Store) -> None:
    content, expected = make_weights()
    policy = upload(store, make_policy(store).id, content)
    artefact, chunks = store.policies.download(policy.id)
    assert b"".join(chunks) == content
    assert policy == store.policies.get(policy.id)
    assert artefact == policy.artefact
    assert (artefact.size_bytes, artefact.sha256) == (expected.size_bytes, expected.sha256)


def test_weights_that_were_never_uploaded_or_have_vanished_are_named(store: Store, artefacts: ArtefactStore) -> None:
    id_ = make_policy(store).id
    with pytest.raises(ModelFileNotFound, match=f"^Model file not found: {id_}$"):
        store.policies.download(id_)
    upload(store, id_, b"weights")
    for key in artefacts.keys():  # noqa: SIM118
        artefacts.delete(key)
    with pytest.raises(ModelFileNotFound, match=f"^Model file not found: {id_}$"):
        store.policies.download(id_)
    with pytest.raises(NotFound, match="policy not found: policy-x"):
        store.policies.download("policy-x")


def test_truncated_weights_are_refused_by_name(store: Store, artefacts: ArtefactStore, tmp_path: Path) -> None:
    id_ = make_policy(store).id
    content, _ = make_weights()
    upload(store, id_, content)
    (key,) = artefacts.keys()
    (tmp_path / "artefacts" / key).write_bytes(content[:-1])
    with pytest.raises(DamagedArtefact, match=id_):
        store.policies.download(id_)


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"size_bytes": 3}, {"size_bytes": 9}])
def test_an_upload_that_is_not_what_it_says_stores_nothing(
    store: Store, artefacts: ArtefactStore, wrong: dict[str, int]
) -> None:
    id_ = make_policy(store).id
    with pytest.raises(InvalidInput, match="announced"):
        store.policies.upload(id_, 0, [b"weights"], replace(describe(b"weights"), **wrong))
    assert artefacts.keys() == set()
    assert store.policies.get(id_).artefact is None


def test_an_upload_without_end_is_cut_off(store: Store, artefacts: ArtefactStore) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 100_000

    with pytest.raises(InvalidInput, match="got more"):
        store.policies.upload(make_policy(store).id, 0, endless(), Expected(1_000_000, "0" * 64))
    assert artefacts.keys() == set()


def test_weights_never_change(store: Store, artefacts: ArtefactStore) -> None:
    id_ = make_policy(store).id
    first = upload(store, id_, b"weights")
    assert upload(store, id_, b"weights") == first
    with pytest.raises(AlreadyExists):
        upload(store, id_, b"other")
    assert first.artefact is not None and artefacts.keys() == {first.artefact.key}


def test_of_concurrent_uploads_of_other_weights_exactly_one_wins(store: Store, artefacts: ArtefactStore) -> None:
    id_ = make_policy(store).id

    def attempt(content: bytes) -> bool:
        try:
            upload(store, id_, content)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, [b"a", b"b", b"c", b"d"])) == 1
    assert len(artefacts.keys()) == 1
    assert len(b"".join(store.policies.download(id_)[1])) == 1


def test_only_the_holder_of_a_run_makes_its_policy(store: Store, artefacts: ArtefactStore, clock: Clock) -> None:
    old = claimed(store, "first")
    policy = make_policy(store, run_id=old.id, token=old.token, request_id="result")
    clock.pass_s(60)
    new = store.runs.claim("second")
    assert new is not None
    with pytest.raises(Conflict, match="stale"):
        make_policy(store, run_id=old.id, token=old.token)
    with pytest.raises(Conflict, match="stale"):
        upload(store, policy.id, b"weights", old.token)
    assert artefacts.keys() == set()
    # The learner that resumes finds the policy that the first one registered.
    assert make_policy(store, run_id=new.id, token=new.token, request_id="result") == policy
    assert upload(store, policy.id, b"weights", new.token).artefact is not None


def test_policies_are_created_once_and_listed_by_run_and_name(store: Store) -> None:
    run = claimed(store)
    first = make_policy(store, run_id=run.id, token=run.token, request_id="r").id
    assert make_policy(store, run_id=run.id, token=run.token, request_id="r").id == first
    other = make_policy(store, "q").id
    assert [policy.id for policy in store.policies.list().items] == [other, first]
    assert [policy.id for policy in store.policies.list(run_id=run.id).items] == [first]
    assert [policy.id for policy in store.policies.list(name="q").items] == [other]


def test_only_the_newest_two_checkpoints_are_kept(store: Store, artefacts: ArtefactStore) -> None:
    run = claimed(store)
    for step in range(4):
        save(store, run, step, f"state {step}".encode())
    assert [checkpoint.step for checkpoint in store.checkpoints.list(run.id)] == [3, 2]
    assert len(artefacts.keys()) == 2
    newest, chunks = store.checkpoints.download(run.id)
    assert (newest.step, b"".join(chunks)) == (3, b"state 3")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    store: Store, artefacts: ArtefactStore, tmp_path: Path
) -> None:
    run = claimed(store)
    made = [save(store, run, step, b"state") for step in range(2)]
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
        store.checkpoints.upload(old.id, old.token, 1, slow(), describe(b"halfrest"))
    with pytest.raises(Conflict, match="stale"):
        save(store, old, 1, b"late")
    assert artefacts.keys() == set()
    assert store.checkpoints.list(old.id) == ()


def test_files_that_a_crash_left_behind_are_swept_after_a_day(
    store: Store, artefacts: ArtefactStore, clock: Clock
) -> None:
    clock.now = datetime.now(UTC)
    run = claimed(store)
    checkpoint, policy = save(store, run, 1, b"state"), upload(store, make_policy(store).id, b"weights")
    make_policy(store, "without weights")
    artefacts.write("checkpoints/run-x/lost", [b"x"])
    assert store.sweep_artefacts() == 0
    clock.pass_s(25 * 3600)
    assert store.sweep_artefacts() == 1
    assert policy.artefact is not None
    assert artefacts.keys() == {checkpoint.artefact.key, policy.artefact.key}
