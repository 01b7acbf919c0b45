"""PPO's own mathematics."""

import math

import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms import heads, networks
from lwmecps_core.algorithms.base import first_seen
from lwmecps_core.algorithms.returns import generalised_advantage, linear_residual
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.testing.examples import make, rollout, whole
from lwmecps_core.tree import tree_map


def test_generalised_advantage_equals_the_brute_force_sum() -> None:
    gen = torch.Generator().manual_seed(0)
    length, gamma, lam = 7, 0.9, 0.8
    reward = torch.randn(length, 1, generator=gen, dtype=torch.float64)
    value = torch.randn(length + 1, 1, generator=gen, dtype=torch.float64)
    terminated, truncated = torch.zeros(length, 1, dtype=torch.bool), torch.zeros(length, 1, dtype=torch.bool)
    terminated[2], truncated[4] = True, True
    found = generalised_advantage(reward, value, terminated, truncated, gamma, lam)
    for t in range(length):
        total, factor = 0.0, 1.0
        for u in range(t, length):
            bootstrap = 0.0 if terminated[u] else gamma * value[u + 1]
            total = total + factor * (reward[u] + bootstrap - value[u])
            factor *= gamma * lam
            if terminated[u] or truncated[u]:
                break
        torch.testing.assert_close(found[t], torch.as_tensor(total).reshape(1))


def test_linear_residual_finds_a_linear_error_and_ignores_invalid_steps() -> None:
    gen = torch.Generator().manual_seed(0)
    obs = torch.randn(2, 401, 3, 4, generator=gen, dtype=torch.float64)
    weights = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 1.0, 1.0, -1.0]], dtype=torch.float64)
    truth = torch.einsum("ktbo,ko->ktb", obs, weights) + 3.0
    missed, valid = truth[:, :-1].clone(), torch.ones(2, 400, 3, dtype=torch.bool)
    missed[:, 7], valid[:, 7] = 1e6, False
    torch.testing.assert_close(linear_residual(obs, missed, valid), truth, atol=0.05, rtol=0)


def test_truncation_bootstraps_and_termination_does_not() -> None:
    reward, value = torch.zeros(1, 1), torch.tensor([[0.0], [10.0]])
    yes, no = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.bool)
    assert generalised_advantage(reward, value, no, yes, 0.5, 1.0).item() == 5.0
    assert generalised_advantage(reward, value, yes, no, 0.5, 1.0).item() == 0.0


def test_ratio_is_one_at_the_sampling_parameters() -> None:
    for spec in ("rows", "pairs", "flat", "box"):
        algo, params, extra = make("ppo", spec)
        data = {k: v[0] for k, v in rollout(algo, params, extra, 1, tasks=1).items()}
        batch = whole(algo, params, extra, data)
        again = algo.act(params, extra, {}, first_seen(algo.spec, batch["obs"], batch["mask"]), None)
        assert again.action.shape == batch["action"].shape
        losses = algo.losses(params, extra, {**batch, "advantage": torch.ones_like(batch["advantage"])})
        bonus = algo.losses(params, extra, {**batch, "advantage": torch.zeros_like(batch["advantage"])})
        torch.testing.assert_close(bonus["actor"] - losses["actor"], torch.ones_like(losses["actor"]))


def test_entropy_earns_less_where_there_are_many_components_unless_its_weight_is_given() -> None:
    for nodes, deployments, expected in ((4, 4, 0.01 / 16), (2, 4, 0.01 / 4), (1, 2, 0.01)):
        task = draw(TaskDistribution(env_id="lwmecps-v4", nodes=nodes, deployments=deployments), 0)
        uniform = nodes * deployments * math.log(2)  # whether any replica runs; which of how many adds more
        for given, weight in ((None, expected), (0.02, 0.02)):
            algo = algorithms.make(PPOConfig(entropy_coef=given, network="mlp"), env_spec(task))
            params, extra = algo.init(torch.Generator().manual_seed(0))
            params = tree_map(lambda leaf: leaf.double(), params)
            data = rollout(algo, params, extra, 1, tasks=1)
            batch = whole(algo, params, extra, {k: v[0] for k, v in data.items()})
            still = {**batch, "advantage": torch.zeros_like(batch["advantage"])}
            bonus = -algo.losses(params, extra, still)["actor"].item() / weight
            assert uniform < bonus < 4.0 * uniform


def test_sampling_follows_the_probabilities() -> None:
    gen = torch.Generator().manual_seed(4)
    logits = torch.tensor([0.3, -1.0, heads.FORBIDDEN, 1.2]).expand(200_000, 1, 4)
    drawn = heads.sample(torch.log_softmax(logits, -1), torch.rand(200_000, 1, generator=gen))
    share = torch.bincount(drawn.flatten(), minlength=4) / 200_000
    torch.testing.assert_close(share, torch.softmax(logits[0, 0], 0), atol=5e-3, rtol=0)


def test_no_replica_is_chosen_only_when_that_is_likelier_than_any() -> None:
    """Likelier than each single count is not enough: three counts of 0.2 are more than 0.4."""
    algo, _, _ = make("ppo", "rows")
    chances = torch.tensor([[0.4, 0.2, 0.25, 0.1, 0.05], [0.6, 0.1, 0.1, 0.1, 0.1], [0.0, 0.1, 0.1, 0.1, 0.7]])
    assert heads.mode(algo.spec, chances.log()).tolist() == [2, 0, 4]


def test_policy_moves_to_clusters_of_another_size_with_the_same_parameters() -> None:
    algo, params, extra = make("ppo", "pairs")
    wide = type(algo.spec)(
        env_id="lwmecps-v4",
        blocks=(("global", (2,)), ("deployment", (5, 3)), ("node", (7, 2)), ("pair", (5, 7, 2))),
        nvec=(4,) * 35,
        action_size=35,
        horizon=6,
        action_entity="pair",
    )
    bigger = type(algo)(algo.cfg, wide)  # type: ignore[attr-defined, call-arg]
    obs, mask = torch.randn(2, wide.obs_size, dtype=torch.float64), torch.ones(2, wide.mask_size, dtype=torch.bool)
    assert bigger.act(params, extra, {}, first_seen(bigger.spec, obs, mask), None).action.shape == (2, 35)


def test_renumbering_deployments_and_nodes_renumbers_the_policy() -> None:
    algo, params, _ = make("ppo", "pairs")
    blocks = dict(algo.spec.blocks)
    gen = torch.Generator().manual_seed(6)
    parts = {name: torch.randn(1, *shape, generator=gen, dtype=torch.float64) for name, shape in blocks.items()}
    d_order, n_order = torch.tensor([1, 0]), torch.tensor([2, 0, 1])
    moved = {
        "global": parts["global"],
        "deployment": parts["deployment"][:, d_order],
        "node": parts["node"][:, n_order],
        "pair": parts["pair"][:, d_order][:, :, n_order],
    }
    one, other = (
        networks.set_rows(params["actor"], algo.spec, torch.cat([p[name].flatten(1) for name in blocks], 1)).reshape(
            2, 3, -1
        )
        for p in (parts, moved)
    )
    torch.testing.assert_close(other, one[d_order][:, n_order])
