"""SAC's own mathematics: its density, its temperature, and the policies that it finds."""

import math

import torch

from lwmecps_core.algorithms import heads
from lwmecps_core.algorithms.base import Batch, first_seen
from lwmecps_core.algorithms.sac import SAC, squashed_gaussian
from lwmecps_core.run_config import SACConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.testing.examples import make, rollout, whole
from lwmecps_core.tree import gradients
from tests.algorithms import control

CHOICES = EnvSpec(env_id="lwmecps-v1", blocks=(("global", (3,)),), nvec=(3,), action_size=1, horizon=10)
NEXT = [[0, 1], [0, 2], [2, 2]]
REWARD = [[0.1, 0.0], [0.0, 1.0], [0.0, 0.0]]
GAMMA, ALPHA = 0.8, 0.3


def test_density_integrates_to_one_and_is_that_of_the_samples() -> None:
    out = torch.tensor([0.4, -0.3], dtype=torch.float64)
    log_std = 5 * torch.tanh(out[1] / 5)
    edges = torch.linspace(0, 1, 11, dtype=torch.float64)
    fine = torch.linspace(1e-9, 1 - 1e-9, 100_001, dtype=torch.float64)
    noise = (torch.atanh(2 * fine - 1) - out[0]) * torch.exp(-log_std)
    action, log_density = squashed_gaussian(out.expand(len(fine), 1, 2), noise.unsqueeze(-1))
    torch.testing.assert_close(action.squeeze(-1), fine)
    mass = torch.cumulative_trapezoid(log_density.exp(), fine)
    torch.testing.assert_close(mass[-1], torch.ones_like(mass[-1]), atol=1e-6, rtol=0)
    shares = mass[9_999::10_000].diff(prepend=torch.zeros(1, dtype=torch.float64))
    drawn = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = squashed_gaussian(out.expand(100_000, 1, 2), drawn)[0].squeeze(-1)
    found = torch.histogram(samples, edges).hist / 100_000
    torch.testing.assert_close(found, shares, atol=4e-3, rtol=0)


def test_density_of_several_components_is_the_product() -> None:
    gen = torch.Generator().manual_seed(1)
    out, noise = torch.randn(5, 3, 2, generator=gen), torch.randn(5, 3, generator=gen)
    each = [squashed_gaussian(out[:, i : i + 1], noise[:, i : i + 1])[1] for i in range(3)]
    torch.testing.assert_close(squashed_gaussian(out, noise)[1], sum(each))


def test_temperature_falls_while_the_entropy_is_above_its_target_and_rises_below() -> None:
    for spec in ("rows", "flat", "box"):
        algo, params, extra = make("sac", spec)
        batch = whole(algo, params, extra, rollout(algo, params, extra, 1))
        sharp = {n: leaf.clone() for n, leaf in params["actor"].items()}
        bias = sharp["out.bias"]
        if spec == "box":
            bias[1] = -8.0
        elif spec == "rows":
            bias += torch.tensor([0.0, -8.0, 20.0], dtype=bias.dtype)
        else:
            bias[0] = 20.0
        wide = {n: leaf.expand(2, *leaf.shape) for n, leaf in params["actor"].items()}
        narrow = {n: leaf.expand(2, *leaf.shape) for n, leaf in sharp.items()}
        others = {
            g: {n: x.expand(2, *x.shape).clone().requires_grad_() for n, x in params[g].items()}
            for g in ("critic", "alpha")
        }
        targets = {n: leaf.expand(2, *leaf.shape) for n, leaf in extra.items()}
        for actor, sign in ((wide, 1.0), (narrow, -1.0)):
            loss = algo.losses({"actor": actor, **others}, targets, batch)
            slope = torch.autograd.grad(loss["alpha"].sum(), others["alpha"]["log_alpha"])[0]
            assert (slope * sign > 0).all(), spec


def test_box_temperatures_loss_is_its_dual_with_minus_one_nat_per_component_on_minus_one_to_one() -> None:
    algo, params, extra = make("sac", "box")
    data = {k: v[0] for k, v in rollout(algo, params, extra, 1, tasks=1).items()}
    batch = whole(algo, params, extra, data)
    _, log_prob = squashed_gaussian(algo._nets.components(params["actor"], batch["obs"]), batch["noise"])  # type: ignore[attr-defined]
    on_wide_range = -log_prob + 3 * math.log(2)  # an action 2a − 1 has half the density in each of three components
    expected = 0.2 * ((on_wide_range + 3) * batch["weight"]).sum() / batch["weight"].sum()
    torch.testing.assert_close(algo.losses(params, extra, batch)["alpha"], expected)


def test_discrete_entropy_settles_at_half_of_the_largest() -> None:
    """Rewards alone would make the policy ever sharper, and the first temperature would leave it nearly uniform."""
    settings = SACConfig(
        hidden_size=(16,), network="mlp", learning_rate=1e-2, batch_size=64, updates_per_batch=300, tau=0.1, alpha=1.0
    )
    algo = SAC(settings, CHOICES)
    action = torch.randint(3, (1, 500, 1), generator=torch.Generator().manual_seed(2))
    frames, masks = torch.ones(1, 500, 3), torch.ones(1, 500, 3, dtype=torch.bool)
    data = {
        "obs": frames,
        "next_obs": frames,
        "mask": masks,
        "next_mask": masks,
        "action": action,
        "reward": action.squeeze(-1).float(),
        "discount": torch.zeros(1, 500),
        "weight": torch.ones(1, 500),
    }
    before, after = control.trained(algo, data)
    batch, target = {k: v[0] for k, v in data.items()}, 0.5 * math.log(3)
    assert abs(_entropy(algo, before, batch) - target) > 0.5
    assert abs(_entropy(algo, after, batch) - target) < 0.1


def test_a_discrete_policy_is_that_of_soft_value_iteration_and_forbidden_choices_have_no_chance() -> None:
    """The third choice is forbidden; the critic never sees it, so its value is whatever the network says."""
    algo = SAC(
        SACConfig(
            discount_factor=GAMMA,
            alpha=ALPHA,
            auto_entropy=False,
            hidden_size=(32,),
            learning_rate=1e-2,
            tau=0.2,
            batch_size=64,
            updates_per_batch=400,
            network="mlp",
        ),
        CHOICES,
    )
    pairs = [(s, a) for s in range(2) for a in range(2)] * 50
    eye, mask = torch.eye(3), torch.tensor([True, True, False]).expand(len(pairs), 3)
    data = {
        "obs": torch.stack([eye[s] for s, _ in pairs]),
        "next_obs": torch.stack([eye[NEXT[s][a]] for s, a in pairs]),
        "mask": mask,
        "next_mask": mask,
        "action": torch.tensor([[a] for _, a in pairs]),
        "reward": torch.tensor([REWARD[s][a] for s, a in pairs]),
        "discount": torch.tensor([0.0 if NEXT[s][a] == 2 else GAMMA for s, a in pairs]),
        "weight": torch.ones(len(pairs)),
    }
    _, params = control.trained(algo, {k: v.unsqueeze(0) for k, v in data.items()})
    with torch.no_grad():
        out = algo._nets.components(params["actor"], eye)
        found = heads.log_probs(CHOICES, out, mask[:3]).exp()[:2, 0]
    torch.testing.assert_close(found[:, :2], torch.softmax(_soft_values()[:2] / ALPHA, 1), atol=0.02, rtol=0)
    assert float(found[:, 2].max()) == 0.0
    noise = torch.rand(1000, 1, generator=torch.Generator().manual_seed(0))
    seen = first_seen(algo.spec, eye[:1].expand(1000, 3), mask[:1].expand(1000, 3))
    drawn = algo.act(params, {}, {}, seen, noise).action
    assert set(drawn.flatten().tolist()) == {0, 1}


def test_critics_target_follows_the_online_actor_and_temperature() -> None:
    """Meta-gradients need these terms: with them cut the second-order gradient is biased."""
    for spec in ("rows", "box"):
        algo, params, extra = make("sac", spec)
        data = {k: v[0] for k, v in rollout(algo, params, extra, 1, tasks=1).items()}
        live = {g: {n: leaf.requires_grad_() for n, leaf in names.items()} for g, names in params.items()}
        loss = algo.losses(live, extra, whole(algo, params, extra, data))["critic"]
        for group in ("actor", "alpha"):
            slopes = gradients({group: loss}, live, retain_graph=True)[group]
            assert all(float(slope.abs().sum()) > 0 for slope in slopes.values())


def test_a_linear_system_is_steered_nearly_as_well_as_by_the_best_policy() -> None:
    algo = SAC(
        SACConfig(
            discount_factor=control.GAMMA,
            hidden_size=(32, 32),
            network="mlp",
            learning_rate=5e-3,
            batch_size=128,
            updates_per_batch=400,
            tau=0.1,
            alpha=0.05,
        ),
        control.SPEC,
    )
    before, after = control.trained(algo, control.memory())
    start, end, best = control.cost_of(algo, before), control.cost_of(algo, after), control.best_cost()
    assert best < end < best + 0.2 * (start - best)


def _soft_values() -> torch.Tensor:
    q = torch.zeros(3, 2)
    for _ in range(200):
        soft = ALPHA * torch.logsumexp(q / ALPHA, 1)
        soft[2] = 0.0
        q = torch.tensor([[REWARD[s][a] + GAMMA * float(soft[NEXT[s][a]]) for a in range(2)] for s in range(3)])
    return q


def _entropy(algo: SAC, params: dict[str, dict[str, torch.Tensor]], batch: Batch) -> float:
    with torch.no_grad():
        return float(algo._soft_value(params, params["critic"], batch, "")[1].mean())
