"""Acting with stored policies: what is refused, and what is kept in memory."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput, ModelFileNotFound, NotFound, ServiceUnavailable
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.deciding import MAX_ROWS, Before, Ready, remembered
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import AlgorithmConfig, DQNConfig, PPOConfig
from lwmecps_core.specs import EnvSpec
from protos.lwmecps.learner.v1 import learner_pb2
from services.cli import acting
from services.common.client import Caller
from services.learner_service.acting import KNOWN_S, LoadedPolicies
from services.learner_service.rpc import LearnerRpc
from tests.env_service.conftest import Served, make_task, serve
from tests.rollout.remembering import Remembering

__all__ = ["serve"]

SPEC = EnvSpec("lwmecps-v3", (("global", (3,)), ("deployment", (2, 4))), (3, 3), 2, 5, "deployment")


PPO = PPOConfig()


def _policy(config: AlgorithmConfig = PPO) -> PolicyData:
    params, extra = algorithms.make(config, SPEC).init(torch.Generator().manual_seed(1))
    return PolicyData(config, SPEC, params, extra)


def _obs(rows: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(0).random((rows, SPEC.obs_size), dtype=np.float32)


@pytest.fixture
def actor() -> LoadedPolicies:
    return LoadedPolicies(lambda _: _policy())


def test_actions_are_allowed_ones_whatever_the_mask_leaves(actor: LoadedPolicies) -> None:
    mask = np.array([[False, True, False, True, False, False]] * 6)
    for greedy in (True, False):
        action = actor.act("p", _obs(6), mask, greedy=greedy).action
        assert action.shape == (6, 2)
        assert (action == [1, 0]).all()


def test_the_same_seed_draws_the_same_actions(actor: LoadedPolicies) -> None:
    first, again, other = (actor.act("p", _obs(64), None, greedy=False, seed=s).action for s in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize(
    ("obs", "mask", "message"),
    [
        (
            np.zeros((2, 5), np.float32),
            None,
            r"observation: must be float32 \[B, 11\] \(lwmecps-v3\), not float32 \[2, 5\]",
        ),
        (np.zeros(11, np.float32), None, r"observation: must be float32 \[B, 11\]"),
        (np.zeros((2, 11), np.float64), None, "observation: must be .* not float64"),
        (np.full((2, 11), np.nan, np.float32), None, "observation: holds NaN"),
        (np.zeros((2, 11), np.float32), np.ones((1, 6), bool), r"mask: must be bool \[B, 6\]"),
        (np.zeros((1, 11), np.float32), np.array([[True] * 3 + [False] * 3]), "mask: forbids every choice"),
    ],
)
def test_what_does_not_fit_the_policys_environment_is_refused_by_field(
    actor: LoadedPolicies,
    obs: np.ndarray,  # type: ignore[type-arg]
    mask: np.ndarray | None,  # type: ignore[type-arg]
    message: str,
) -> None:
    with pytest.raises(InvalidInput, match=message):
        actor.act("p", obs, mask, greedy=True)


def test_the_least_recently_used_policy_is_forgotten_first() -> None:
    loads: list[str] = []

    def load(policy_id: str) -> PolicyData:
        loads.append(policy_id)
        return _policy()

    actor = LoadedPolicies(load, capacity=2)
    for policy_id in ("a", "b", "a", "c", "a", "b"):
        actor.act(policy_id, _obs(1), None, greedy=True)
    assert loads == ["a", "b", "c", "b"]


def test_a_policy_that_was_deleted_acts_no_longer_than_it_is_taken_to_be_there() -> None:
    stored, asked, now = {"p"}, threading.Semaphore(0), [0.0]

    def find(policy_id: str) -> PolicyData:
        if policy_id not in stored:
            raise NotFound("policy", policy_id)
        return _policy()

    def still_there(policy_id: str) -> None:
        try:
            if "registry" in stored:
                raise ServiceUnavailable("the registry is away")
            find(policy_id)
        finally:
            asked.release()

    actor = LoadedPolicies(find, still_there=still_there, clock=lambda: now[0])

    def act() -> None:
        actor.act("p", _obs(1), None, greedy=True)

    act()
    stored.clear()
    now[0] = KNOWN_S - 0.1
    act()
    assert not asked.acquire(timeout=0.05), "it was there a moment ago"
    stored.add("registry")
    now[0] = KNOWN_S
    act()
    assert asked.acquire(timeout=10.0)
    act()  # nobody could say
    stored.clear()
    now[0] = 2 * KNOWN_S
    with pytest.raises(NotFound, match="p"):
        for _ in range(1000):  # until what the answer means is done
            act()
            time.sleep(0.01)


def test_missing_weights_are_named() -> None:
    def load(policy_id: str) -> PolicyData:
        raise ModelFileNotFound(policy_id)

    with pytest.raises(ModelFileNotFound, match="Model file not found: p7"):
        LoadedPolicies(load).act("p7", _obs(1), None, greedy=True)


LARGER = replace(SPEC, blocks=(("global", (3,)), ("deployment", (5, 4))), nvec=(4,) * 5, action_size=5, horizon=9)


def test_a_set_policy_acts_on_a_cluster_of_another_size(actor: LoadedPolicies) -> None:
    obs = np.random.default_rng(0).random((7, LARGER.obs_size), dtype=np.float32)
    assert actor.act("p", obs, None, LARGER, greedy=True).action.shape == (7, 5)
    assert actor.act("p", _obs(2), None, SPEC, greedy=True).action.shape == (2, 2)


@pytest.mark.parametrize(
    ("config", "spec"),
    [
        (PPOConfig(network="mlp"), LARGER),
        (PPOConfig(), replace(LARGER, env_id="lwmecps-v4")),
        (PPOConfig(), replace(LARGER, blocks=(("global", (2,)), ("deployment", (5, 4))))),
        (PPOConfig(), replace(LARGER, nvec=(4,) * 4)),
        (PPOConfig(), replace(LARGER, nvec=(), action_size=5)),
        (DQNConfig(), LARGER),
    ],
)
def test_an_environment_that_a_policy_cannot_act_in_is_refused(config: AlgorithmConfig, spec: EnvSpec) -> None:
    obs = np.zeros((1, spec.obs_size), np.float32)
    with pytest.raises(InvalidInput, match=r"env_spec: .*the policy was made for"):
        LoadedPolicies(lambda _: _policy(config)).act("p", obs, None, spec, greedy=True)


def test_more_choices_than_fit_in_memory_are_refused(actor: LoadedPolicies) -> None:
    spec = replace(LARGER, nvec=(2**30,) * 5)
    with pytest.raises(InvalidInput, match="observation: 1 observations have"):
        actor.act("p", np.zeros((1, spec.obs_size), np.float32), None, spec, greedy=True)


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> LoadedPolicies:
    monkeypatch.setitem(algorithms.REGISTRY, "ppo", Remembering)
    return LoadedPolicies(lambda _: _policy())


def test_what_a_policy_remembers_comes_back_with_every_answer(remembering: LoadedPolicies) -> None:
    acted = remembering.act("p", _obs(3), None, greedy=True)
    assert acted.memory["count"].tolist() == [1, 1, 1]
    terms, action = np.full((3, len(REWARD_TERMS)), -1.0, np.float32), np.full((3, 2), 2, np.int32)
    before = Before(acted.memory, terms, action, np.array([False, False, True]))
    again = remembering.act("p", _obs(3), None, greedy=True, before=before)
    assert again.memory["count"].tolist() == [2, 2, 2]
    assert again.memory["shown"].tolist() == [[-5, 4]] * 3
    assert again.extras == {}


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (Before({"count": np.zeros(3, np.float32)}), r"memory\[shown\]: the policy remembers count, shown"),
        (
            Before({"count": np.zeros(2, np.float32), "shown": np.zeros((3, 2), np.float32)}),
            r"memory\[count\]: must be",
        ),
        (Before({"count": np.full(3, np.nan, np.float32), "shown": np.zeros((3, 2), np.float32)}), "holds NaN$"),
        (Before(reward_terms=np.full((3, 5), np.inf, np.float32)), "reward_terms: holds NaN or infinite numbers"),
        (Before(reward_terms=np.zeros((3, 4), np.float32)), r"reward_terms: must be float32 \[3, 5\], B as in"),
        (Before(action=np.zeros((3, 2), np.int64)), r"previous_action: must be int32 \[3, 2\]"),
        (Before(action=np.full((3, 2), -1, np.int32)), r"previous_action\[0\]\[0\]: is -1; the component has 0 to"),
        (Before(action=np.array([[0, 0], [0, 99], [0, 0]], np.int32)), r"previous_action\[1\]\[1\]: is 99; the"),
        (Before(first=np.zeros(2, np.bool_)), r"first: must be bool \[3\]"),
    ],
)
def test_memory_that_does_not_fit_is_refused_by_field(
    remembering: LoadedPolicies, before: Before, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        remembering.act("p", _obs(3), None, greedy=True, before=before)


def test_a_policy_that_remembers_nothing_refuses_memory(actor: LoadedPolicies) -> None:
    with pytest.raises(InvalidInput, match=r"memory\[h\]: the policy remembers nothing"):
        actor.act("p", _obs(3), None, greedy=True, before=Before({"h": np.zeros(3, np.float32)}))


def test_a_memory_may_be_infinite(remembering: LoadedPolicies) -> None:
    before = Before({"count": np.full(3, np.inf, np.float32), "shown": np.zeros((3, 2), np.float32)})
    assert np.isinf(remembering.act("p", _obs(3), None, greedy=True, before=before).memory["count"]).all()


def test_a_call_has_a_bounded_number_of_rows_and_of_numbers_to_remember(
    remembering: LoadedPolicies, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in (0, MAX_ROWS + 1):
        with pytest.raises(InvalidInput, match=f"observation: 1 to {MAX_ROWS} rows are needed, not {rows}"):
            remembering.act("p", np.zeros((rows, SPEC.obs_size), np.float32), None, greedy=True)
    monkeypatch.setattr("lwmecps_core.rollout.deciding.MAX_CHOICES", 14)
    ready, obs = Ready(_policy(), algorithms.make(PPO, SPEC)), torch.tensor(_obs(5))
    with pytest.raises(InvalidInput, match="observation: the policy would remember 15 numbers of 5 observations"):
        remembered(ready, obs, torch.ones(5, SPEC.mask_size, dtype=torch.bool), Before())


def test_memory_travels_through_the_call_and_back(remembering: LoadedPolicies) -> None:
    rpc = LearnerRpc(None, remembering, lambda: None)  # type: ignore[arg-type]
    answer = learner_pb2.ActResponse()
    for count in (1, 2, 3):
        request = learner_pb2.ActRequest(
            policy_id="p",
            observation=tensor_to_proto(_obs(2)),
            memory=answer.memory,
            previous_action=answer.action if count > 1 else None,
            reward_terms=tensor_to_proto(np.full((2, len(REWARD_TERMS)), -1.0, np.float32)) if count > 1 else None,
        )
        answer = rpc.Act(request, None)  # type: ignore[arg-type]
        assert tensor_from_proto(answer.memory["count"]).tolist() == [count, count]
        assert (tensor_from_proto(answer.memory["shown"])[:, 0] == -5.0 * (count - 1)).all()


def test_a_command_line_that_watches_a_cluster_remembers_over_its_episodes(
    remembering: LoadedPolicies, serve: Callable[..., Served]
) -> None:
    task = make_task(horizon=3)
    spec = env_spec(task)
    params, extra = algorithms.make(PPO, spec).init(torch.Generator().manual_seed(1))
    counts = []

    def act(method: str, request: learner_pb2.ActRequest) -> learner_pb2.ActResponse:
        assert method == "Act"
        answer = LearnerRpc(None, policies, lambda: None).Act(request, None)  # type: ignore[arg-type]
        counts.append((float(tensor_from_proto(answer.memory["count"])[0]), bool(tensor_from_proto(request.first)[0])))
        return answer

    policies = LoadedPolicies(lambda _: PolicyData(PPO, spec, params, extra))
    clients = SimpleNamespace(env=Caller("env", serve().stub), learner=act)
    lines = list(acting._drive(clients, "p", task, "simulated", 8))  # type: ignore[arg-type]
    assert len(lines) == 8
    # Three intervals, one that only carries the reset, three more, and so on.
    assert counts == [(1 + i, i in (0, 4)) for i in range(8)]


@pytest.mark.parametrize("context", ["statistics", "recurrent", "belief"])
def test_a_context_is_the_same_in_calls_one_by_one_and_in_rollouts(context: Any) -> None:
    task = make_task(horizon=4)
    config = replace(PPO, context=context)
    spec = env_spec(task)
    params, extra = algorithms.make(config, spec).init(torch.Generator().manual_seed(1))
    policies = LoadedPolicies(lambda _: PolicyData(config, spec, params, extra))
    plan = CollectionPlan(seeds=(5,), length=9, episodes=2, greedy=True)
    snapshot = PolicySnapshot(config, params, extra, 0)
    (expected,) = LocalCollector().collect([task], snapshot, plan)

    class Remote:
        noise_size = 0

        def begin(self, seeds: object) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
            return {}

        def act(self, memory, seen, noise):  # type: ignore[no-untyped-def]
            before = Before(memory, seen.reward_terms, seen.action, seen.first)
            return policies.act("p", seen.obs, seen.mask, greedy=True, before=before)

    (batch,), memory = drive(BatchEnv([task], [0, 0]), Remote(), plan)
    assert np.array_equal(batch.action, expected.action)
    assert np.array_equal(batch.obs, expected.obs[..., : spec.obs_size])
    if context != "statistics":
        np.testing.assert_allclose(memory["state"], expected.memory["state"], atol=1e-6)
        return
    # The last frame is still to be shown to a policy that is called.
    assert memory["context/intervals"].tolist() == [7.0, 7.0]
    assert expected.memory["context/intervals"].tolist() == [8.0, 8.0]


def test_a_context_that_nobody_remembered_is_refused() -> None:
    task = make_task()
    config = replace(PPO, context="statistics")
    spec = env_spec(task)
    params, extra = algorithms.make(config, spec).init(torch.Generator().manual_seed(1))
    policies = LoadedPolicies(lambda _: PolicyData(config, spec, params, extra))
    obs = np.zeros((1, spec.obs_size), np.float32)
    memory = dict(policies.act("p", obs, None, greedy=True).memory)
    memory["context/overall"] = np.full_like(memory["context/overall"], np.inf)
    memory["context/terms"] = np.full_like(memory["context/terms"], -np.inf)
    with pytest.raises(InvalidInput, match="memory: holds what no policy has remembered"):
        policies.act("p", obs, None, greedy=True, before=Before(memory))


@pytest.mark.parametrize("context", ["recurrent", "belief"])
def test_learnt_memory_beyond_what_can_be_remembered_is_taken_for_the_nearest_that_can(context: Any) -> None:
    policies = LoadedPolicies(lambda _: _policy(replace(PPO, context=context)))
    obs = np.zeros((1, SPEC.obs_size), np.float32)
    memory = dict(policies.act("p", obs, None, greedy=True).memory)
    most, beyond = (
        policies.act("p", obs, None, greedy=True, before=Before({"state": np.full_like(memory["state"], size)}))
        for size in (1.0, np.inf)
    )
    assert np.array_equal(most.memory["state"], beyond.memory["state"]) and np.isfinite(beyond.memory["state"]).all()
    assert np.array_equal(most.action, beyond.action)
