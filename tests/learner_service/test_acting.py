"""Acting with stored policies: what is refused, and what is kept in memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.errors import InvalidInput, ModelFileNotFound
from lwmecps_core.policy import PolicyData
from lwmecps_core.run_config import AlgorithmConfig, DQNConfig, PPOConfig
from lwmecps_core.specs import EnvSpec
from services.learner_service.acting import Before, LoadedPolicies
from tests.rollout.remembering import Remembering

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
    with pytest.raises(InvalidInput, match="env_spec: the policy was made for"):
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
        (Before({"count": np.full(3, np.nan, np.float32), "shown": np.zeros((3, 2), np.float32)}), "holds NaN"),
        (Before(reward_terms=np.zeros((3, 4), np.float32)), r"reward_terms: must be float32 \[3, 5\], B as in"),
        (Before(action=np.zeros((3, 2), np.int64)), r"previous_action: must be int32 \[3, 2\]"),
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
