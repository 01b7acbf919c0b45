"""Which policies fit which environments, and what a refusal says."""

from dataclasses import replace

import pytest
import torch

from lwmecps_core import algorithms, fits
from lwmecps_core.algorithms.base import first_seen
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.observation import V1, V2, version_of
from lwmecps_core.errors import InvalidInput
from lwmecps_core.objective import SloSpec
from lwmecps_core.policy import PolicyData
from lwmecps_core.run_config import AlgorithmConfig, DQNConfig, PPOConfig, QLearningConfig, SACConfig, TD3Config
from lwmecps_core.specs import ALL_ENV_IDS, EnvSpec, TaskDistribution
from lwmecps_core.tasks.families import draw

SMALL: dict[str, AlgorithmConfig] = {
    "ppo": PPOConfig(hidden_size=(8, 8)),
    "ppo_mlp": PPOConfig(hidden_size=(8, 8), network="mlp"),
    "ppo_recurrent": PPOConfig(hidden_size=(8, 8), context="recurrent"),
    "dqn": DQNConfig(hidden_size=(8, 8)),
    "q_learning": QLearningConfig(table_size=64),
    "sac": SACConfig(hidden_size=(8, 8)),
    "td3": TD3Config(hidden_size=(8, 8)),
}


def _spec(env_id: str, nodes: int = 3, deployments: int = 2, max_replicas: int = 4) -> EnvSpec:
    city = TaskDistribution(env_id=env_id, nodes=nodes, deployments=deployments, max_replicas=max_replicas, horizon=12)
    return env_spec(draw(city, 0))


def _policy(name: str, spec: EnvSpec) -> PolicyData:
    params, extra = algorithms.make(SMALL[name], spec).init(torch.Generator().manual_seed(1))
    return PolicyData(SMALL[name], spec, params, extra)


def _accepts(name: str, env_id: str) -> bool:
    try:
        algorithms.make(SMALL[name], _spec(env_id))
    except InvalidInput:
        return False
    return True


def _refusal(policy: PolicyData, spec: EnvSpec) -> str:
    """Why the weights of the policy are refused in the environment; the text names both."""
    with pytest.raises(InvalidInput) as refused:
        fits.bound(policy, spec, "request", "env_spec")
    text = str(refused.value)
    reason, _, made_for = text.removeprefix("request: env_spec: ").partition(": the policy was made for ")
    assert made_for == f"{fits.described(policy.env_spec)} and can't act in {fits.described(spec)}"
    assert len(text) < 600
    return reason


CASES = [(name, env_id) for name in SMALL for env_id in ALL_ENV_IDS if _accepts(name, env_id)]


@pytest.mark.parametrize(("name", "env_id"), CASES)
def test_policies_stay_in_their_environment_and_sets_move_between_sizes(name: str, env_id: str) -> None:
    policy, larger = _policy(name, _spec(env_id)), _spec(env_id, nodes=5, deployments=4)
    assert fits.bound(policy, replace(policy.env_spec, horizon=7), "x", "y").spec.horizon == 7
    if name == "ppo_mlp" or version_of(env_id) in (V1, V2):
        assert "only set networks" in _refusal(policy, larger)
        with pytest.raises(InvalidInput, match="only set networks"):
            fits.bound_by_record(policy.algorithm, policy.env_spec, larger, "request", "policy_id")
        return
    algorithm = fits.bound(policy, larger, "x", "y")
    obs, mask = torch.zeros(2, larger.obs_size), torch.ones(2, larger.mask_size, dtype=torch.bool)
    acted = algorithm.act(policy.params, policy.extra, algorithm.memory(2), first_seen(larger, obs, mask), None)
    assert acted.action.shape == (2, larger.action_size)


@pytest.mark.parametrize("name", [name for name, env_id in CASES if env_id == "lwmecps-v4"])
def test_a_policy_of_another_version_is_refused(name: str) -> None:
    policy = _policy(name, _spec("lwmecps-v4"))
    assert "version of the environment" in _refusal(policy, _spec("lwmecps-v3"))
    assert "version of the environment" in _refusal(policy, _spec("lwmecps-v4-continuous", nodes=4))


OTHER_BLOCKS, OTHER_ACTIONS = r"it observes other quantities \(", "would have to be those of lwmecps-v3"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"blocks": (("global", (2,)), ("deployment", (2, 11)))}, OTHER_BLOCKS),
        ({"blocks": (("global", (5,)), ("deployment", (2, 12)))}, OTHER_BLOCKS),
        ({"blocks": (("global", (5,)), ("node", (2, 11)))}, OTHER_BLOCKS),
        ({"nvec": (5,) * 3}, OTHER_ACTIONS),
        ({"nvec": (5, 4)}, OTHER_ACTIONS),
        ({"nvec": ()}, OTHER_ACTIONS),
        ({"action_size": 3}, OTHER_ACTIONS),
        ({"action_entity": "pair"}, OTHER_ACTIONS),
    ],
    ids=str,
)
def test_other_features_or_actions_are_refused(changes: dict[str, object], reason: str) -> None:
    policy = _policy("ppo", _spec("lwmecps-v3"))
    spec = replace(policy.env_spec, **changes)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=f"env_spec: .*{reason}.*: the policy was made for"):
        fits.bound(policy, spec, "request", "env_spec")
    with pytest.raises(InvalidInput, match=f"policy_id: .*{reason}.*: the policy was made for"):
        fits.bound_by_record(policy.algorithm, policy.env_spec, spec, "request", "policy_id")


def test_where_weights_depend_on_the_number_of_choices_the_record_says_so() -> None:
    dqn, more = _policy("dqn", _spec("lwmecps-v3")), _spec("lwmecps-v3", max_replicas=6)
    for answer in (
        lambda: fits.bound(dqn, more, "x", "y"),
        lambda: fits.bound_by_record(dqn.algorithm, dqn.env_spec, more, "x", "y"),
    ):
        with pytest.raises(InvalidInput, match=r"has the shape \(5,\), not \(7,\).*of 5 choices.*of 7 choices"):
            answer()
    ppo = _policy("ppo", _spec("lwmecps-v3"))
    assert fits.bound(ppo, more, "x", "y").spec == more, "counts have three outputs, however many there are"


def test_weights_that_are_not_the_algorithms_are_refused() -> None:
    policy = _policy("dqn", _spec("lwmecps-v3"))
    group, (name, *_) = next((group, list(net)) for group, net in policy.params.items())
    cut = {group: {k: x[:-1] if k == name else x for k, x in policy.params[group].items()}}
    assert f"its {group}/{name} has the shape" in _refusal(replace(policy, params=policy.params | cut), policy.env_spec)
    assert "has the shape None" in _refusal(replace(policy, extra={}), policy.env_spec)
    extended = policy.params | {"domain": {"out.bias": torch.zeros(1)}}
    assert "its domain/out.bias" in _refusal(replace(policy, params=extended), policy.env_spec)


def test_a_large_environment_is_described_in_a_few_words() -> None:
    spec = _spec("lwmecps-v4", nodes=50, deployments=20)
    blocks = "global 5, deployment 20x11, node 50x6, pair 20x50x4, objective 6, limits 20x2"
    assert fits.described(spec) == f"lwmecps-v4 ({blocks}; 1000 actions of 5 choices)"
    assert fits.described(replace(spec, nvec=(3, 9, 5))).endswith("of 3 to 9 choices)")
    assert fits.described(_spec("lwmecps-v3-continuous")).endswith("; 2 actions)")


def test_a_policy_of_tasks_without_bounds_is_refused_by_what_is_observed() -> None:
    city = TaskDistribution(env_id="lwmecps-v3", nodes=3, deployments=2, max_replicas=4, horizon=12)
    bounded = env_spec(draw(replace(city, slo=SloSpec(failed_share=0.02)), 0))
    reason = _refusal(_policy("ppo", _spec("lwmecps-v3")), bounded)
    assert reason.startswith("it observes other quantities (objective; bounds (objective.slo) are observed where")
