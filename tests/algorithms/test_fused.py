"""Set networks through compiled loops: the same values, gradients and gradients of gradients as by PyTorch."""

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from lwmecps_core.algorithms import networks
from lwmecps_core.specs import EnvSpec
from lwmecps_core.testing.examples import BOX, PAIR_BOX, PAIRS, ROWS

OUTPUTS = 3


def given(
    spec: EnvSpec, lead: tuple[int, ...], samples: int, dtype: torch.dtype = torch.float64
) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
    """Parameters, observations, and actions where the environment's are of a box."""
    gen = torch.Generator().manual_seed(3)
    net = networks.init_set(spec, (6, 5), OUTPUTS, 1.0, gen, of_actions=not spec.discrete)
    net = {name: leaf + 0.3 * torch.randn(*lead, *leaf.shape, generator=gen) for name, leaf in net.items()}
    obs = torch.randn(*lead, samples, spec.obs_size, generator=gen)
    action = None if spec.discrete else torch.rand(*lead, samples, spec.action_size, generator=gen).to(dtype)
    leaves = {name: leaf.to(dtype).requires_grad_() for name, leaf in net.items()}
    return leaves, obs.to(dtype).requires_grad_(), None if action is None else action.requires_grad_()


@pytest.mark.parametrize("spec", [ROWS, PAIRS, BOX, PAIR_BOX], ids=lambda spec: spec.env_id)
@pytest.mark.parametrize(("lead", "samples"), [((), 1), ((3,), 5), ((2, 2), 300)])
def test_values_and_gradients_are_pytorchs(spec: EnvSpec, lead: tuple[int, ...], samples: int) -> None:
    net, obs, action = given(spec, lead, samples)
    of = [obs, *([] if action is None else [action]), *net.values()]
    rows, expected = networks.set_rows(net, spec, obs, action), networks.plain_set_rows(net, spec, obs, action)
    pull = torch.randn(rows.shape, dtype=rows.dtype, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(rows, expected)
    torch.testing.assert_close(torch.autograd.grad(rows, of, pull), torch.autograd.grad(expected, of, pull))
    with torch.no_grad():
        assert torch.equal(networks.set_rows(net, spec, obs, action), rows)


@pytest.mark.parametrize("spec", [ROWS, PAIRS], ids=lambda spec: spec.env_id)
def test_single_precision_is_as_exact_as_pytorchs(spec: EnvSpec) -> None:
    net, obs, _ = given(spec, (2,), 500, torch.float32)
    double = networks.plain_set_rows({name: leaf.double() for name, leaf in net.items()}, spec, obs.double())
    for way in (networks.set_rows, networks.plain_set_rows):
        torch.testing.assert_close(way(net, spec, obs).double(), double, rtol=0.0, atol=2e-5)


def test_one_network_serves_several_tasks_and_two_networks_the_same_observations() -> None:
    net, obs, _ = given(ROWS, (), 4)
    several = torch.stack([obs, 2 * obs])
    torch.testing.assert_close(networks.set_rows(net, ROWS, several)[0], networks.set_rows(net, ROWS, obs))
    both = networks.twins(net, {name: -leaf for name, leaf in net.items()})
    found = networks.set_rows(both, ROWS, several.unsqueeze(-3))
    assert found.shape == (2, 2, 4, ROWS.action_size, OUTPUTS)
    torch.testing.assert_close(found[:, 0], networks.set_rows(net, ROWS, several))


def test_the_largest_share_their_gradient() -> None:
    net, obs, _ = given(ROWS, (), 2)
    with torch.no_grad():
        obs[:, : 3 * 4] = torch.ones(3 * 4)  # all deployments alike
    ways = (networks.set_rows, networks.plain_set_rows)
    found, expected = (torch.autograd.grad(way(net, ROWS, obs).square().sum(), [obs, *net.values()]) for way in ways)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("spec", [ROWS, PAIR_BOX], ids=lambda spec: spec.env_id)
def test_gradients_can_be_gone_through_again(spec: EnvSpec) -> None:
    net, obs, action = given(spec, (), 2)
    names = tuple(net)
    of = (obs, *([] if action is None else [action]), *net.values())

    def rows(*given: Tensor) -> Tensor:
        inputs, leaves = given[: -len(names)], given[-len(names) :]
        return networks.set_rows(dict(zip(names, leaves, strict=True)), spec, *inputs).square()

    assert torch.autograd.gradgradcheck(rows, of)


def test_a_traced_program_holds_operations_and_no_result() -> None:
    net, obs, _ = given(ROWS, (), 4)
    with torch.no_grad():
        program = make_fx(lambda x: networks.set_rows(net, ROWS, x))(obs)
        torch.testing.assert_close(program(2 * obs), networks.set_rows(net, ROWS, 2 * obs))


def test_nothing_but_not_a_number_comes_of_what_is_none() -> None:
    net, obs, _ = given(ROWS, (), 3, torch.float32)
    with torch.no_grad():
        obs[1] = torch.nan
        rows = networks.set_rows(net, ROWS, obs)
    assert rows[1].isnan().all() and rows[[0, 2]].isfinite().all()
