"""Learning rates that go down towards the end of a training."""

from dataclasses import replace

import pytest
import torch

from lwmecps_core.algorithms import exploring, make
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.optimiser import Optimiser, PackedOptimiser, scheduled
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import DQNConfig, MetaConfig, PPOConfig, TrainConfig, TransferConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import loop, meta_train, train, transfer
from lwmecps_core.tree import leaves

PPO = PPOConfig(hidden_size=(8, 8), batch_size=64, n_epochs=1)
CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=8)
TRAIN = TrainConfig(total_episodes=8, episodes_per_batch=2)
META = MetaConfig(num_meta_epochs=4, warmup_epochs=2, adaptation_steps=1, meta_batch_size=2, episodes_per_step=1)


def test_a_rate_stays_until_its_last_share_of_steps_and_then_goes_down_to_nothing() -> None:
    linear = [scheduled("linear", 0.5, step, 10) for step in range(10)]
    assert linear == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    cosine = [scheduled("cosine", 1.0, step, 4) for step in range(4)]
    assert cosine == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert {scheduled("constant", 1.0, step, 10) for step in range(10)} == {1.0}
    assert {scheduled("linear", 0.0, step, 10) for step in range(10)} == {1.0}
    assert scheduled("cosine", 1.0, 0, 1) == 1.0


@pytest.mark.parametrize("method", ["adam", "sgd"])
def test_a_step_takes_its_share_of_every_rate(method: str) -> None:
    moved = []
    for share in (1.0, 0.25):
        optimiser = Optimiser({"a": {"x": torch.ones(1, 3)}}, 0.1, 10.0, method=method)  # type: ignore[arg-type]
        optimiser.rate_share = share
        optimiser.step({"a": {"x": torch.full((1, 3), 2.0)}})
        moved.append(1.0 - optimiser.params["a"]["x"].detach())
    torch.testing.assert_close(moved[1], 0.25 * moved[0])


def test_a_packed_optimiser_passes_its_share_on() -> None:
    packed = PackedOptimiser({"a": {"x": torch.ones(3)}}, 0.1, 10.0)
    packed.rate_share = 0.5
    packed.step({"a": {"x": torch.ones(3)}})
    torch.testing.assert_close(packed.params["a"]["x"], torch.full((3,), 0.95))


def _weights(steps):  # type: ignore[no-untyped-def]
    *_, last = steps
    return torch.cat([leaf.flatten() for leaf in leaves(last.policy.params)])


def _runs(**settings):  # type: ignore[no-untyped-def]
    local = LocalCollector()
    (start,) = list(train(CITY, PPO, replace(TRAIN, total_episodes=2), local, seed=2))
    target = (draw(CITY, 5),)
    return {
        "train": _weights(train(CITY, PPO, replace(TRAIN, **settings), local, seed=1)),
        "meta_train": _weights(meta_train(CITY, PPO, replace(META, **settings), local, seed=1)),
        "transfer": _weights(
            transfer(start.policy, target, TransferConfig(total_episodes=16, **settings), local, seed=1)
        ),
    }


def test_every_loop_that_learns_follows_its_schedule() -> None:
    constant, linear, late = _runs(), _runs(schedule="linear", schedule_share=1.0), _runs(schedule_share=1.0)
    for kind, weights in constant.items():
        assert torch.equal(weights, late[kind]), kind  # a share alone changes nothing
        assert not torch.equal(weights, linear[kind]), kind


def test_a_resumed_run_goes_on_where_its_schedule_was() -> None:
    cfg, local = replace(META, schedule="cosine", schedule_share=1.0), LocalCollector()
    states = []
    for progress in meta_train(CITY, PPO, cfg, local, seed=1):
        states.append(replace(progress.state, tensors={n: x.clone() for n, x in progress.state.tensors.items()}))
    for cut in states[:-1]:
        rest = _weights(meta_train(CITY, PPO, cfg, local, seed=1, start=cut))
        assert torch.equal(rest, _weights([progress]))


def test_the_entropy_bonus_goes_down_evenly_to_its_share() -> None:
    def trained(weight, algorithm=PPO, **settings):  # type: ignore[no-untyped-def]
        cfg = replace(TRAIN, total_episodes=6, **settings)  # three steps
        return _weights(train(CITY, replace(algorithm, entropy_coef=weight), cfg, LocalCollector(), seed=1))

    for algorithm in (PPO, replace(PPO, ignore_blocks=("limits",)), replace(PPO, context="recurrent", n_steps=16)):
        whole = trained(0.5, algorithm)
        assert torch.equal(whole, trained(0.5, algorithm, entropy_share=1.0))
        assert not torch.equal(whole, trained(0.5, algorithm, entropy_share=0.0))
    # The shares of three steps are 1, 0.6 and 0.2, whoever says them.
    shares = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "exploring", lambda cfg, spec, share: shares.append(share) or make(cfg, spec))
        trained(0.5, entropy_share=0.2)
    assert shares == pytest.approx([0.6, 0.2])  # all of it needs no other algorithm


def test_a_share_of_a_bonus_is_that_of_its_weight_given_or_not() -> None:
    spec = env_spec(draw(CITY, 0))
    for cfg, weight in ((PPO, 0.01), (replace(PPO, entropy_coef=0.5), 0.5)):
        assert exploring(cfg, spec, 0.25).cfg.entropy_coef == pytest.approx(0.25 * weight)  # type: ignore[attr-defined]


def test_whoever_has_no_entropy_bonus_is_told_so() -> None:
    with pytest.raises(InvalidInput, match=r"entropy_share: is of PPO's entropy bonus; dqn has none"):
        list(train(CITY, DQNConfig(), replace(TRAIN, entropy_share=0.5), LocalCollector(), seed=1))
    with pytest.raises(InvalidInput, match=r"entropy_share: is of PPO's entropy bonus, whose weight, .* is 0"):
        list(train(CITY, replace(PPO, entropy_coef=0.0), replace(TRAIN, entropy_share=0.5), LocalCollector(), seed=1))
