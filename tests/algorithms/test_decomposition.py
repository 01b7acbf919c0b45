"""What each component of an action is worth is told from the others', though the data never varies it alone."""

import pytest
import torch

from lwmecps_core.algorithms import make
from lwmecps_core.algorithms.base import first_seen
from lwmecps_core.run_config import AlgorithmConfig, DQNConfig, SACConfig
from lwmecps_core.specs import EnvSpec
from tests.algorithms import control

SPEC = EnvSpec(env_id="lwmecps-v1", blocks=(("global", (1,)),), nvec=(2, 2), action_size=2, horizon=10)
PLAYED = [[0, 0], [0, 1], [1, 1], [1, 1]]
"""The first component's 1 earns 1 and the second's costs 3, but who plays the former plays the latter too."""


@pytest.mark.parametrize(
    "cfg",
    [
        DQNConfig(hidden_size=(8,), network="mlp", learning_rate=1e-2, batch_size=32, updates_per_batch=400),
        SACConfig(
            hidden_size=(8,),
            network="mlp",
            learning_rate=1e-2,
            batch_size=32,
            updates_per_batch=400,
            alpha=0.01,
            auto_entropy=False,
        ),
    ],
    ids=["dqn", "sac"],
)
def test_a_component_is_not_blamed_for_what_another_costs(cfg: AlgorithmConfig) -> None:
    algo = make(cfg, SPEC)
    action = torch.tensor(PLAYED * 8).unsqueeze(0)
    frames, masks = torch.ones(1, 32, 1), torch.ones(1, 32, 4, dtype=torch.bool)
    data = {
        "obs": frames,
        "next_obs": frames,
        "mask": masks,
        "next_mask": masks,
        "action": action,
        "reward": action[..., 0].float() - 3 * action[..., 1],
        "discount": torch.zeros(1, 32),
        "weight": torch.ones(1, 32),
    }
    _, after = control.trained(algo, data)
    with torch.no_grad():
        found = algo.act(after, {}, {}, first_seen(SPEC, frames[0, :1], masks[0, :1]), None).action
    assert found.tolist() == [[1, 0]]
