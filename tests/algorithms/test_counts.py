"""Replica counts through compiled loops: what PyTorch's operations say, their gradients, and gradients of gradients."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lwmecps_core import algorithms
from lwmecps_core.algorithms import counts, heads
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig, SACConfig
from lwmecps_core.specs import EnvId, TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.testing.examples import ROWS

N, ROWS_OF = 6, 3
SPEC = replace(ROWS, nvec=(N,) * ROWS_OF)


def given(lead: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs from mild to decided, masks that allow the action, and actions."""
    gen = torch.Generator().manual_seed(5)
    out = 4 * torch.randn(*lead, ROWS_OF, 3, generator=gen, dtype=dtype)
    action = torch.randint(N, (*lead, ROWS_OF), generator=gen).to(torch.int32)
    mask = torch.rand(*lead, ROWS_OF, N, generator=gen) < 0.6
    mask = mask.scatter(-1, action.long().unsqueeze(-1), True)
    return out.requires_grad_(), mask.flatten(-2), action


def plain(out: Tensor, mask: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """By PyTorch's operations."""
    found = heads.log_probs(SPEC, out, mask)
    return heads.log_prob(found, action), heads.entropy(found)


@pytest.mark.parametrize("lead", [(1,), (300,), (2, 130)])
def test_values_and_gradients_are_pytorchs(lead: tuple[int, ...]) -> None:
    out, mask, action = given(lead, torch.float64)
    found, expected = heads.judged(SPEC, out, mask, action), plain(out, mask, action)
    torch.testing.assert_close(found, expected)
    pulls = [torch.randn(lead, dtype=out.dtype, generator=torch.Generator().manual_seed(seed)) for seed in (6, 7)]
    torch.testing.assert_close(torch.autograd.grad(found, out, pulls), torch.autograd.grad(expected, out, pulls))
    with torch.no_grad():
        assert all(map(torch.equal, heads.judged(SPEC, out, mask, action), found))


def test_gradients_of_gradients_are_those_of_the_values() -> None:
    out, mask, action = given((2,), torch.float64)
    assert torch.autograd.gradcheck(lambda x: heads.judged(SPEC, x, mask, action), out)
    assert torch.autograd.gradgradcheck(lambda x: heads.judged(SPEC, x, mask, action), out)


def test_single_precision_is_as_exact_as_pytorchs() -> None:
    out, mask, action = given((500,), torch.float64)
    exact = plain(out, mask, action)
    for way in (lambda *a: heads.judged(SPEC, *a), plain):
        for single, double in zip(way(out.float(), mask, action), exact, strict=True):
            torch.testing.assert_close(single.double(), double, rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("noisy", [True, False])
def test_actions_are_those_of_the_distribution(noisy: bool) -> None:
    out, mask, _ = given((400,), torch.float64)
    noise = torch.rand(400, ROWS_OF, generator=torch.Generator().manual_seed(8)).double() if noisy else None
    action, log_prob = heads.chosen(SPEC, out.detach(), mask, noise)
    choices = heads.log_probs(SPEC, out, mask)
    expected = heads.mode(SPEC, choices) if noise is None else heads.sample(choices, noise)
    assert torch.equal(action.long(), expected)
    torch.testing.assert_close(log_prob, heads.log_prob(choices, expected).detach())
    assert heads.chosen(SPEC, out, mask, noise)[1].requires_grad


def test_noise_above_what_all_choices_sum_up_to_means_the_last_possible_one() -> None:
    mask = torch.ones(1, ROWS_OF, N, dtype=torch.bool)
    mask[..., 4:] = False
    action, _ = heads.chosen(SPEC, torch.zeros(1, ROWS_OF, 3), mask.flatten(-2), torch.ones(1, ROWS_OF))
    assert action.tolist() == [[3] * ROWS_OF]


def test_loops_are_possible_where_nothing_is_traced() -> None:
    assert counts.possible(torch.zeros(1))


LEARNERS = (PPOConfig(), PPOConfig(network="mlp"), PPOConfig(context="recurrent"), SACConfig())


@pytest.mark.parametrize("cfg", LEARNERS, ids=["set", "mlp", "recurrent", "sac"])
def test_a_deployment_begins_with_hardly_more_replicas_counted_by_pair_than_by_deployment(cfg: AlgorithmConfig) -> None:
    def begun(env_id: EnvId, nodes: int) -> float:
        """Replicas of a deployment, on average, of a policy without training."""
        task = draw(TaskDistribution(nodes=nodes, deployments=2, max_replicas=8, env_id=env_id), 0)
        spec = env_spec(task)
        params, _ = algorithms.from_nothing(cfg, spec).init(torch.Generator().manual_seed(0))
        out = params["actor"]["out.bias"].reshape(1, -1, 3).expand(1, spec.action_size, 3)
        found = heads.log_probs(spec, out, torch.ones(1, spec.mask_size, dtype=torch.bool)).exp()
        return float((found * torch.arange(found.shape[-1])).sum() / 2)

    whole = begun("lwmecps-v3", 4)
    assert begun("lwmecps-v4", 1) == pytest.approx(whole)
    assert begun("lwmecps-v4", 4) < 2 * whole
    assert begun("lwmecps-v4", 4) > whole
