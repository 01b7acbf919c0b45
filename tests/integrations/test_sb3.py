"""Our simulator as a `VecEnv`, and policies that were trained on it as ours."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("sb3_contrib", reason="the extra sb3 is not installed")

from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize
from torch import nn

from lwmecps_core import fits
from lwmecps_core.algorithms.base import first_seen
from lwmecps_core.envs.placement import LWMECPSEnv3
from lwmecps_core.errors import InvalidInput
from lwmecps_core.integrations.sb3 import PlacementVecEnv
from lwmecps_core.integrations.sb3_policies import to_policy
from lwmecps_core.policy import from_bytes, to_bytes
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

CITY = TaskDistribution(nodes=3, deployments=3, max_replicas=6, horizon=12)
TASKS = [draw(CITY, seed) for seed in range(2)]
SMALL: dict[str, Any] = {"n_steps": 8, "batch_size": 32, "n_epochs": 2, "seed": 1}


def _env(tasks: list[TaskSpec] | None = None, num_envs: int = 4) -> PlacementVecEnv:
    env = PlacementVecEnv(tasks or TASKS, num_envs)
    env.seed(5)
    return env


def test_an_episode_is_that_of_the_single_environment_with_its_seed() -> None:
    env, single = _env(), LWMECPSEnv3(TASKS[1])
    obs = env.reset()
    theirs, _ = single.reset(seed=6)  # environment 1 has the seed behind that of environment 0
    rng = np.random.default_rng(0)
    for t in range(CITY.horizon):
        flat = np.concatenate([block.reshape(-1) for block in theirs.values()])
        np.testing.assert_allclose(obs[1], flat, atol=1e-5)
        actions = rng.integers(0, 7, (4, 3))
        obs, rewards, done, infos = env.step(actions)
        theirs, reward, _, truncated, _ = single.step(actions[1])
        assert rewards[1] == pytest.approx(reward, abs=1e-4) and done[1] == truncated == (t == CITY.horizon - 1)
    last = np.concatenate([block.reshape(-1) for block in theirs.values()])
    np.testing.assert_allclose(infos[1]["terminal_observation"], last, atol=1e-5)
    assert infos[1]["TimeLimit.truncated"] and infos[1]["episode"]["l"] == CITY.horizon
    assert not np.allclose(obs[1], last), "what is returned at an end is the next episode's beginning"


def test_what_a_step_returns_is_the_callers_to_keep() -> None:
    env = _env()
    first = env.reset()
    kept = first.copy()
    _, rewards, *_ = env.step(np.zeros((4, 3), np.int64))
    before = rewards.copy()
    env.step(np.full((4, 3), 5))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(rewards, before)


@pytest.mark.parametrize("env_id", ["lwmecps-v1", "lwmecps-v2", "lwmecps-v3", "lwmecps-v4"])
def test_masks_are_a_flat_row_for_each_environment_and_never_forbid_everything(env_id: str) -> None:
    env = _env([draw(replace(CITY, env_id=env_id), 0)])
    env.reset()
    assert is_masking_supported(env)
    for _ in range(15):
        masks = get_action_masks(env)
        spec = env.spec_of_env
        assert masks.shape == (4, spec.mask_size) and masks.dtype == np.bool_
        assert masks.reshape(4, spec.action_size, -1).any(-1).all()
        choices = masks.reshape(4, spec.action_size, -1).argmax(-1)
        env.step(choices[:, 0] if env_id in ("lwmecps-v1", "lwmecps-v2") else choices)


@pytest.mark.parametrize("actions", [np.full((4, 3), 7), np.full((4, 3), -1), np.zeros((4, 2), int), np.zeros((4, 3))])
def test_actions_that_are_no_choices_are_refused(actions: np.ndarray) -> None:
    env = _env()
    env.reset()
    with pytest.raises(InvalidInput, match="action"):
        env.step(actions)


def test_the_batch_says_what_it_can_not_do() -> None:
    env = _env()
    assert env.env_is_wrapped(Monitor) == [True] * 4 and env.env_is_wrapped(VecMonitor) == [False] * 4
    assert [task.name for task in env.get_attr("task", [1, 2])] == [TASKS[1].name, TASKS[0].name]
    with pytest.raises(AttributeError, match="only action_masks"):
        env.env_method("render")
    with pytest.raises(AttributeError, match="no attributes of their own"):
        env.set_attr("x", 1)


def _trained(cls: Any, env: Any, policy: str = "MlpPolicy", **kwargs: Any) -> Any:
    """Trained for a moment, and then moved far enough for what it does to depend on what it sees."""
    model, generator = cls(policy, env, **(SMALL | kwargs)).learn(64), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weights in model.policy.parameters():
            weights += 0.3 * torch.randn(weights.shape, generator=generator)
    return model


@pytest.mark.parametrize("env_id", ["lwmecps-v2", "lwmecps-v3", "lwmecps-v4"])
@pytest.mark.parametrize(
    ("cls", "name"), [(PPO, "MlpPolicy"), (MaskablePPO, "MlpPolicy"), (RecurrentPPO, "MlpLstmPolicy")]
)
def test_a_policy_acts_here_as_it_did_there(cls: Any, name: str, env_id: str) -> None:
    env = _env([draw(replace(CITY, env_id=env_id), 0)])
    kwargs = {"policy_kwargs": {"lstm_hidden_size": 24, "net_arch": [16, 8]}} if cls is RecurrentPPO else {}
    model = _trained(cls, env, name, **kwargs)
    policy = from_bytes(to_bytes(to_policy(model)), "file")
    algorithm = fits.bound(policy, env.spec_of_env, "test", "policy")
    obs, memory, state, first = env.reset(), algorithm.memory(4), None, np.ones(4, bool)
    seen_actions = set()
    for _ in range(3 * CITY.horizon):
        # Who knows no masks is compared without any.
        mask = env.action_masks() if cls is MaskablePPO else np.ones_like(env.action_masks())
        told = {"action_masks": mask} if cls is MaskablePPO else {"state": state, "episode_start": first}
        theirs, state = model.predict(obs, deterministic=True, **told)
        seen = replace(
            first_seen(env.spec_of_env, torch.from_numpy(obs), torch.from_numpy(mask)), first=torch.from_numpy(first)
        )
        with torch.inference_mode():
            acted = algorithm.act(policy.params, policy.extra, memory, seen, None)
        memory = acted.memory
        np.testing.assert_array_equal(acted.action.numpy().reshape(theirs.shape), theirs)
        seen_actions |= {tuple(np.atleast_1d(action)) for action in theirs}
        obs, _, first, _ = env.step(theirs)
    assert len(seen_actions) > 1 or env_id == "lwmecps-v2", "a policy that does one thing shows nothing"


def test_an_a2c_is_declared_too_and_a_model_without_environments_needs_a_task() -> None:
    model = A2C("MlpPolicy", _env(), n_steps=4, seed=1).learn(32)
    made = to_policy(model)
    assert made.algorithm.hidden_size == (64, 64) and made.metadata["made_by"].startswith("A2C")
    model.env = None
    with pytest.raises(InvalidInput, match="name a task that it was trained on"):
        to_policy(model)
    again = to_policy(model, TASKS[0])
    assert torch.equal(again.params["actor"]["out.weight"], made.params["actor"]["out.weight"])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: PPO("MlpPolicy", _env(), policy_kwargs={"activation_fn": nn.ReLU}), "activation_fn: ReLU: only Tanh"),
        (
            lambda: PPO("MlpPolicy", _env(), policy_kwargs={"net_arch": {"pi": [8], "vf": [4]}}),
            "must have the same layers",
        ),
        (lambda: PPO("MlpPolicy", _env(), policy_kwargs={"net_arch": []}), "at least one layer"),
        (lambda: PPO("MlpPolicy", VecNormalize(_env())), "VecNormalize changes observations"),
        (lambda: PPO("MultiInputPolicy", LWMECPSEnv3(TASKS[0])), "train on flat observations"),
        (lambda: DQN("MlpPolicy", _env([draw(replace(CITY, env_id="lwmecps-v1"), 0)])), "DQN is none of PPO"),
        (lambda: PPO("MlpPolicy", _env([draw(replace(CITY, env_id="lwmecps-v3-continuous"), 0)])), "action_space"),
        (
            lambda: RecurrentPPO("MlpLstmPolicy", _env(), policy_kwargs={"n_lstm_layers": 2, "lstm_hidden_size": 8}),
            "n_lstm_layers: 2",
        ),
        (
            lambda: RecurrentPPO("MlpLstmPolicy", _env(), policy_kwargs={"enable_critic_lstm": False}),
            "need an LSTM each",
        ),
    ],
)
def test_what_can_not_be_declared_is_refused_by_name(make: Any, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        to_policy(make(), TASKS[0] if "flat" in reason else None)
