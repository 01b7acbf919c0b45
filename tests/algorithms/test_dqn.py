"""DQN's own mathematics: it finds the optimal values of a small decision problem."""

import torch

from lwmecps_core.algorithms.dqn import DQN
from lwmecps_core.optimiser import Optimiser
from lwmecps_core.run_config import DQNConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.tree import expanded, gradients

SPEC = EnvSpec(env_id="lwmecps-v1", blocks=(("global", (3,)),), nvec=(2,), action_size=1, horizon=10)
NEXT = [[0, 1], [0, 2], [2, 2]]
REWARD = [[0.1, 0.0], [0.0, 1.0], [0.0, 0.0]]
GAMMA = 0.8


def _value_iteration() -> torch.Tensor:
    q = torch.zeros(3, 2)
    for _ in range(200):
        best = q.max(1).values
        best[2] = 0.0
        q = torch.tensor([[REWARD[s][a] + GAMMA * best[NEXT[s][a]] for a in range(2)] for s in range(3)])
    return q


def test_values_converge_to_those_of_value_iteration() -> None:
    algo = DQN(DQNConfig(discount_factor=GAMMA, hidden_size=(32,), learning_rate=5e-3, tau=0.1), SPEC)
    params, extra = algo.init(torch.Generator().manual_seed(0))
    states = [(s, a) for s in range(2) for a in range(2)]
    eye = torch.eye(3)
    batch = {
        "obs": torch.stack([eye[s] for s, _ in states]),
        "next_obs": torch.stack([eye[NEXT[s][a]] for s, a in states]),
        "mask": torch.ones(4, 2, dtype=torch.bool),
        "next_mask": torch.ones(4, 2, dtype=torch.bool),
        "action": torch.tensor([[a] for _, a in states]),
        "reward": torch.tensor([REWARD[s][a] for s, a in states]),
        "discount": torch.tensor([0.0 if NEXT[s][a] == 2 else GAMMA for s, a in states]),
        "weight": torch.ones(4),
    }
    batch = {k: v.unsqueeze(0) for k, v in batch.items()}
    outer = Optimiser(expanded(params, 1), algo.learning_rate, 10.0)
    many = {k: v.unsqueeze(0) for k, v in extra.items()}
    for _ in range(1500):
        outer.step(gradients(algo.losses(outer.params, many, batch), outer.params))
        many = algo.after_update(outer.params, many)
    with torch.no_grad():
        found = algo._q({k: v[0] for k, v in outer.params["critic"].items()}, eye, torch.ones(3, 2, dtype=torch.bool))
    torch.testing.assert_close(found[:2, 0], _value_iteration()[:2], atol=0.02, rtol=0)
