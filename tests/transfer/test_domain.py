"""The reversed gradient, and the classifier that features learn to deceive."""

import pytest
import torch

from lwmecps_core.algorithms.networks import init_mlp, last_hidden, mlp, set_rows
from lwmecps_core.errors import InvalidInput
from lwmecps_core.run_config import TransferConfig
from lwmecps_core.specs import EnvSpec, TaskDistribution
from lwmecps_core.testing import examples
from lwmecps_core.transfer import domain
from lwmecps_core.tree import gradients, tree_map

PLAIN = EnvSpec(env_id="lwmecps-v1", blocks=(("global", (2,)),), nvec=(3,), action_size=1, horizon=5)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _observed(spec: EnvSpec, seed: int, shift: float = 0.0, samples: int = 40) -> domain.Observed:
    obs = torch.randn(samples, spec.obs_size, generator=_generator(seed), dtype=torch.float64) + shift
    return domain.Observed(spec, obs, torch.ones(samples, dtype=torch.float64))


def test_the_reversed_gradient_is_minus_lambda_times_the_gradient() -> None:
    x = torch.randn(4, 3, generator=_generator(), requires_grad=True)
    pull = torch.randn(4, 3, generator=_generator(1))
    through = domain.reversed_gradient(x, 0.3)
    assert torch.equal(through, x)
    (found,) = torch.autograd.grad(through, x, pull)
    torch.testing.assert_close(found, -0.3 * pull, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["ppo", "dqn", "sac"])
@pytest.mark.parametrize("spec", ["rows", "pairs"])
def test_features_climb_the_loss_that_the_classifier_descends(name: str, spec: str) -> None:
    algo, params, _ = examples.make(name, spec)
    classifier = domain.init_classifier(tree_map(torch.Tensor.float, params), algo.spec, _generator())
    params = tree_map(lambda x: x.double().requires_grad_(), params | classifier)
    group = domain.feature_group(params)
    source, target = _observed(algo.spec, 1), _observed(algo.spec, 2, 0.5)

    def grads(weight: float) -> dict[str, dict[str, torch.Tensor]]:
        loss = domain.domain_loss(params, source, target, weight)
        inside = {n: x for n, x in params[group].items() if n.startswith(("row", "mix"))}
        return gradients({group: loss, "domain": loss}, {group: inside, "domain": params["domain"]})

    plain, turned = grads(-1.0), grads(0.3)
    for n, x in plain[group].items():
        torch.testing.assert_close(turned[group][n], -0.3 * x, rtol=1e-12, atol=1e-15)
        assert x.abs().max() > 0
    for n, x in plain["domain"].items():
        assert torch.equal(turned["domain"][n], x)


def test_the_loss_is_log_2_for_a_classifier_that_knows_nothing_and_ignores_what_does_not_count() -> None:
    params = {"actor": init_mlp(2, (4,), 3, 1.0, _generator())}
    params |= {"domain": {"out.weight": torch.zeros(4, 1), "out.bias": torch.zeros(1)}}
    params = tree_map(torch.Tensor.double, params)
    source, target = _observed(PLAIN, 1), _observed(PLAIN, 2, samples=10)
    assert float(domain.domain_loss(params, source, target, 1.0)) == pytest.approx(0.6931471805599453)
    params["domain"]["out.weight"] += 1.0
    half = domain.Observed(PLAIN, source.obs, torch.tensor([1.0, 0.0] * 20, dtype=torch.float64))
    only = domain.Observed(PLAIN, source.obs[::2], torch.ones(20, dtype=torch.float64))
    assert torch.allclose(domain.domain_loss(params, half, target, 1.0), domain.domain_loss(params, only, target, 1.0))


def test_features_are_what_the_output_layer_reads() -> None:
    net = init_mlp(2, (4, 5), 3, 1.0, _generator())
    obs = torch.randn(7, 2, generator=_generator())
    torch.testing.assert_close(last_hidden(net, PLAIN, obs) @ net["out.weight"] + net["out.bias"], mlp(net, obs))
    algo, params, _ = examples.make("ppo", "pairs")
    rows = params["actor"] | {"direct.weight": torch.zeros_like(params["actor"]["direct.weight"])}
    obs = torch.randn(7, algo.spec.obs_size, generator=_generator(), dtype=torch.float64)
    mean = last_hidden(rows, algo.spec, obs) @ rows["out.weight"] + rows["out.bias"] + rows["direct.bias"]
    torch.testing.assert_close(mean, set_rows(rows, algo.spec, obs).mean(-2))


@pytest.mark.parametrize("method", ["fine_tuning", "domain_adaptation"])
def test_source_tasks_must_be_of_the_targets_environment_and_domain_adaptation_needs_some(method: str) -> None:
    cfg = TransferConfig(method=method)  # type: ignore[arg-type]
    domain.check_origin(cfg, [TaskDistribution(env_id="lwmecps-v4")], "lwmecps-v4")
    with pytest.raises(InvalidInput, match="source_task_ids: must be of the target's environment lwmecps-v4"):
        domain.check_origin(cfg, [TaskDistribution(env_id="lwmecps-v3")], "lwmecps-v4")
    if method == "domain_adaptation":
        with pytest.raises(InvalidInput, match="source_task_ids: domain_adaptation needs source tasks"):
            domain.check_origin(cfg, [], "lwmecps-v4")
    else:
        domain.check_origin(cfg, [], "lwmecps-v4")
