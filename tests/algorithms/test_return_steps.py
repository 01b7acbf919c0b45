import pytest
import torch

from lwmecps_core.algorithms import replay

GAMMA, T, B = 0.9, 9, 5


def _rollout() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return {
        "reward": torch.randn(2, T, B, generator=g),
        "terminated": torch.rand(2, T, B, generator=g) < 0.1,
        "truncated": torch.rand(2, T, B, generator=g) < 0.15,
        "valid": torch.ones(2, T, B, dtype=torch.bool),
        "obs": torch.randn(2, T + 1, B, 3, generator=g),
        "mask": torch.ones(2, T + 1, B, 4, dtype=torch.bool),
        "action": torch.zeros(2, T, B, 1),
    }


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_returns_of_several_steps_are_those_added_up_one_by_one(steps):
    data = _rollout()
    found = {k: x.unflatten(1, (T, B)) for k, x in replay.transitions(data, GAMMA, steps).items()}
    shorter = 0
    for k, t, b in torch.cartesian_prod(torch.arange(2), torch.arange(T), torch.arange(B)).tolist():
        earned, left, u, ended = 0.0, 1.0, t, False
        while not ended and u < T and u - t < steps:
            earned += left * float(data["reward"][k, u, b])
            left *= 0.0 if data["terminated"][k, u, b] else GAMMA
            ended = bool(data["terminated"][k, u, b] | data["truncated"][k, u, b])
            u += 1
        assert float(found["reward"][k, t, b]) == pytest.approx(earned, abs=1e-5)
        assert float(found["discount"][k, t, b]) == pytest.approx(left, abs=1e-6)
        assert torch.equal(found["next_obs"][k, t, b], data["obs"][k, u, b])
        shorter += u - t < steps
    assert shorter > 0 or steps == 1
