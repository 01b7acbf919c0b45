"""TD3's own mathematics: what it delays, smooths and clips, and the policy that it finds."""

import pytest
import torch

from lwmecps_core.algorithms import networks
from lwmecps_core.algorithms.base import Batch, Extra, Params, first_seen
from lwmecps_core.algorithms.td3 import TD3
from lwmecps_core.errors import InvalidInput
from lwmecps_core.optimiser import Optimiser, with_task_axis
from lwmecps_core.run_config import TD3Config
from lwmecps_core.testing.examples import FLAT
from lwmecps_core.tree import expanded_extra, gradients
from tests.algorithms import control


def _algo(**settings: object) -> TD3:
    return TD3(TD3Config(hidden_size=(8,), network="mlp", batch_size=16, **settings), control.SPEC)  # type: ignore[arg-type]


def _prepared(algo: TD3) -> tuple[Params, Extra, Batch]:
    """Parameters, targets that differ from them, and 40 samples; without a task axis."""
    params, _ = algo.init(torch.Generator().manual_seed(0))
    _, extra = algo.init(torch.Generator().manual_seed(1))
    data = {k: v[0] for k, v in control.memory(40).items()}
    return params, extra, data | {"target_noise": torch.randn(40, 1, generator=torch.Generator().manual_seed(2))}


def _expected_critic_loss(params: Params, extra: Extra, batch: Batch, smoothing: torch.Tensor) -> torch.Tensor:
    """One network at a time, from the paper's equations."""
    net = {k.removeprefix("actor."): v for k, v in extra.items() if k.startswith("actor.")}
    action = torch.sigmoid(2 * networks.mlp(net, batch["next_obs"]))
    action = (action + smoothing).clamp(0, 1)
    values = []
    for i in range(2):
        net = {k.removeprefix("critic."): v[i] for k, v in extra.items() if k.startswith("critic.")}
        values.append(networks.mlp(net, torch.cat([batch["next_obs"], action], -1)).squeeze(-1))
    goal = batch["reward"] + batch["discount"] * torch.minimum(*values)
    loss = torch.zeros(())
    for i in range(2):
        net = {k: v[i] for k, v in params["critic"].items()}
        q = networks.mlp(net, torch.cat([batch["obs"], batch["action"]], -1)).squeeze(-1)
        loss = loss + (q - goal).square().mean()
    return loss


def test_target_is_the_lesser_twin_at_a_smoothed_action_with_clipped_noise() -> None:
    algo = _algo(target_noise=1.0, noise_clip=0.5)
    params, extra, batch = _prepared(algo)
    noise = batch["target_noise"]
    smoothing = noise.clamp(-0.5, 0.5) / 2  # half of the range [0, 1] is the unit
    found = algo.losses(params, extra, batch)["critic"]
    torch.testing.assert_close(found, _expected_critic_loss(params, extra, batch, smoothing))
    for wrong in (torch.zeros_like(noise), 0.5 * noise):
        assert not torch.allclose(found, _expected_critic_loss(params, extra, batch, wrong), rtol=1e-5)


def test_smoothed_actions_stay_within_the_range_of_actions() -> None:
    algo = _algo(target_noise=100.0, noise_clip=100.0)
    params, extra, batch = _prepared(algo)
    ends = (batch["target_noise"] > 0).float()
    torch.testing.assert_close(
        algo.losses(params, extra, batch)["critic"], _expected_critic_loss(params, extra, batch, 100 * (2 * ends - 1))
    )


def test_actors_loss_is_minus_the_first_critics_value() -> None:
    algo = _algo()
    params, extra, batch = _prepared(algo)
    action = algo.act(params, extra, {}, first_seen(algo.spec, batch["obs"], batch["mask"]), None).action
    first = {k: v[0] for k, v in params["critic"].items()}
    expected = -networks.mlp(first, torch.cat([batch["obs"], action], -1)).mean()
    torch.testing.assert_close(algo.losses(params, extra, batch)["actor"], expected)


@pytest.mark.parametrize("per_collection", [1, 4])
def test_actor_and_targets_move_together_at_every_third_update(per_collection: int) -> None:
    """Also where a collection is followed by a single update."""
    algo = _algo(policy_delay=3, tau=0.1, updates_per_batch=per_collection)
    params, extra = algo.init(torch.Generator().manual_seed(0))
    outer, many = Optimiser(with_task_axis(params, 2), 1e-2, 10.0), expanded_extra(extra, 2)
    data = {k: v.expand(2, *v.shape[1:]) for k, v in control.memory(40).items()}
    gen = torch.Generator().manual_seed(0)
    update = 0
    for _ in range(12 // per_collection):
        for part in algo.minibatches(data, gen):
            update += 1
            actor, targets = {n: x.detach().clone() for n, x in outer.params["actor"].items()}, many
            outer.step(gradients(algo.losses(outer.params, many, part), outer.params))
            many = algo.after_update(outer.params, many)
            turn = update % 3 == 0
            assert turn != all(torch.equal(x, outer.params["actor"][n]) for n, x in actor.items())
            for name, old in targets.items():
                if name != "updates":
                    group, _, leaf = name.partition(".")
                    online = outer.params[group][leaf].detach()
                    torch.testing.assert_close(many[name], torch.lerp(old, online, 0.1) if turn else old)
    assert update == 12


def test_a_whole_rollout_gives_the_actor_a_loss_whatever_its_turn() -> None:
    algo = _algo(policy_delay=3)
    params, extra, batch = _prepared(algo)
    for turn in range(3):
        assert algo.losses(params, extra | {"updates": torch.tensor(float(turn))}, batch).keys() == params.keys()


def test_exploration_has_the_asked_deviation_and_stays_within_range() -> None:
    algo = _algo(exploration_noise=0.1)
    params, extra = algo.init(torch.Generator().manual_seed(0))
    obs, mask = torch.zeros(20_000, 1), torch.ones(20_000, 0, dtype=torch.bool)
    noise = torch.rand(20_000, 2, generator=torch.Generator().manual_seed(1))
    drawn, mean = (algo.act(params, extra, {}, first_seen(algo.spec, obs, mask), n).action for n in (noise, None))
    assert abs(float((drawn - mean).std()) - 0.05) < 1e-3
    wild = _algo(exploration_noise=20.0).act(params, extra, {}, first_seen(algo.spec, obs, mask), noise).action
    assert (float(wild.min()), float(wild.max())) == (0.0, 1.0)


def test_discrete_actions_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="td3 needs Box actions"):
        TD3(TD3Config(), FLAT)


def test_a_linear_system_is_steered_nearly_as_well_as_by_the_best_policy() -> None:
    algo = TD3(
        TD3Config(
            discount_factor=control.GAMMA,
            hidden_size=(32, 32),
            network="mlp",
            learning_rate=5e-3,
            batch_size=128,
            updates_per_batch=400,
            tau=0.1,
        ),
        control.SPEC,
    )
    before, after = control.trained(algo, control.memory())
    start, end, best = control.cost_of(algo, before), control.cost_of(algo, after), control.best_cost()
    assert best < end < best + 0.2 * (start - best)
