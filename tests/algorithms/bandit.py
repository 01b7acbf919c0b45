"""A bandit with three arms as a sequence of two episodes, and PPO that learns to play it."""

import torch
from torch import Tensor

from lwmecps_core import algorithms
from lwmecps_core.acting import REWARD_TERMS, Seen
from lwmecps_core.algorithms.base import Algorithm, Batch, Params
from lwmecps_core.optimiser import Optimiser, with_task_axis
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.tree import expanded, gradients, row

SPEC = EnvSpec("lwmecps-v1", (("global", (1,)),), (3,), 1, 5)
LENGTH = 10
"""An episode of 5 intervals, one that carries the reset, and 4 of the next episode."""
WIDTH, ROUNDS = 64, 60


def played(algo: Algorithm, params: Params, gen: torch.Generator, *, greedy: bool = False) -> Batch:
    """A stacked rollout `[1, T, B]`; which arm pays is drawn for every environment, and seen nowhere."""
    arm, memory = torch.randint(0, 3, (WIDTH,), generator=gen), algo.memory(WIDTH)
    obs, mask = torch.ones(LENGTH + 1, WIDTH, 1), torch.ones(LENGTH + 1, WIDTH, 3, dtype=torch.bool)
    ends, valid = (torch.zeros(LENGTH, WIDTH, dtype=torch.bool) for _ in range(2))
    ends[4], valid[:] = True, True
    valid[5] = False
    begun = {f"begun/{name}": x.unsqueeze(0) for name, x in memory.items()}
    terms, action = torch.zeros(WIDTH, len(REWARD_TERMS)), torch.zeros(WIDTH, 1, dtype=torch.int32)
    done: list[dict[str, Tensor]] = []
    for t in range(LENGTH):
        first = torch.full((WIDTH,), t in (0, 6))
        fresh = first[:, None]
        seen = Seen(obs[t], mask[t], terms.masked_fill(fresh, 0), action.masked_fill(fresh, 0), first)
        noise = None if greedy else torch.rand(WIDTH, algo.noise_size, generator=gen)
        out = algo.act(params, {}, memory, seen, noise)
        memory, action = dict(out.memory), out.action
        paid = (action.squeeze(-1) == arm).float() * valid[t]
        terms = torch.zeros(WIDTH, len(REWARD_TERMS))
        terms[:, 0] = paid
        done.append({"action": action, "reward": paid, "reward_terms": terms, **out.extras})
    told = {name: torch.stack([each[name] for each in done]) for name in done[0]}
    frames = {"obs": obs, "mask": mask, "terminated": torch.zeros_like(ends), "truncated": ends, "valid": valid}
    return begun | {name: x.detach().unsqueeze(0) for name, x in (frames | told).items()}


def trained(cfg: PPOConfig, seed: int) -> tuple[Algorithm, Params]:
    """The policy after `ROUNDS` rollouts."""
    algo, gen = algorithms.make(cfg, SPEC), torch.Generator().manual_seed(seed)
    params, _ = algo.init(gen)
    outer = Optimiser(with_task_axis(params, 1), algo.learning_rate, algo.max_grad_norm)
    for _ in range(ROUNDS):
        with torch.no_grad():
            data = played(algo, row(outer.params, 0), gen)
        batch = algo.prepare(expanded(row(outer.params, 0), 1), {}, data, gen)
        for part in algo.minibatches(batch, gen):
            outer.step(gradients(algo.losses(outer.params, {}, part), outer.params))
    return algo, row(outer.params, 0)


def earned(algo: Algorithm, params: Params) -> Tensor:
    """The mean reward `[T]` of each interval that counts, of the policy without noise, on new bandits."""
    with torch.no_grad():
        data = played(algo, params, torch.Generator().manual_seed(1), greedy=True)
    return data["reward"][0].mean(-1)[data["valid"][0, :, 0]]
