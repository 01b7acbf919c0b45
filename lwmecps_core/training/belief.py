"""How a belief is learnt beside a policy: by an optimiser and from a memory of rollouts of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Params
from lwmecps_core.algorithms.belief_ppo import GROUP, BeliefPPO
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.algorithms.sight import visible
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.context.known import SCALE_SERVICE_MS
from lwmecps_core.optimiser import Optimiser
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig
from lwmecps_core.sim.state import busy_ms
from lwmecps_core.training.remembering import Remembered
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.tree import detached, gradients, prefixed, under

MAX_GRAD_NORM = 1.0
OPTIMISER, MEMORY = "optimiser/", "memory/"


class BeliefLearner:
    """Steps the belief of K parameter sets; whatever the policy's own losses do, they don't touch it."""

    def __init__(self, algo: BeliefPPO, algorithm: PPOConfig, params: Params, seed: int) -> None:
        """`params` have a task axis; `algo` may show its networks less than the environment does."""
        self._algo, self._cfg, self._seed = algo, algorithm, seed
        self._optimiser = Optimiser({GROUP: params[GROUP]}, algorithm.belief_lr, MAX_GRAD_NORM)
        self._memory = Remembered(algorithm.belief_memory_size)

    def learn(
        self, params: Params, batches: Sequence[RolloutBatch], tasks: Sequence[Any], step: int, rate_share: float = 1.0
    ) -> dict[str, float]:
        """Take rollouts of `tasks` in, update the belief, and write it into `params`, in place; returns metrics."""
        if not batches:
            return {}
        known = self._memory.add(self._experience(batches, tasks))
        noise = torch_generator(self._seed, f"belief-{step}")
        self._optimiser.rate_share = rate_share
        found: dict[str, list[Tensor]] = {}
        for _ in range(self._cfg.belief_updates):
            part = sample(known, self._cfg, self._algo, noise)
            loss, parts = self._algo.belief_losses(self._optimiser.params[GROUP], part)
            self._optimiser.step(gradients({GROUP: loss}, self._optimiser.params))
            for name, x in {"loss": loss, **parts}.items():
                found.setdefault(f"belief_{name}", []).append(x.detach().mean())
        with torch.no_grad():
            for name, leaf in self._optimiser.params[GROUP].items():
                params[GROUP][name].copy_(leaf.reshape(params[GROUP][name].shape))
        return {name: float(torch.stack(some).mean()) for name, some in found.items()}

    def state(self) -> dict[str, Tensor]:
        """Complete, as resuming needs it."""
        return prefixed(self._optimiser.state(), OPTIMISER) | prefixed(self._memory.fields, MEMORY)

    def restore(self, flat: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        self._optimiser.restore(under(flat, OPTIMISER))
        self._memory = Remembered(self._cfg.belief_memory_size, under(flat, MEMORY))

    def _experience(self, batches: Sequence[RolloutBatch], tasks: Sequence[Any]) -> Batch:
        """`[K, B, ...]` of each set's own rollouts, or `[1, …]` of all of them for the one set."""
        data = stacked(batches)
        data["obs"] = visible(self._cfg, self._algo.spec, data["obs"])
        some = self._algo.experience(data)
        if self._cfg.belief_told:
            times = np.array([[busy_ms(d) / SCALE_SERVICE_MS for d in task.deployments] for task in tasks])
            told = torch.as_tensor(np.log(times), dtype=some["obs"].dtype).unsqueeze(1)
            some["service"] = told.expand(*some["obs"].shape[:2], -1)
        sets = next(iter(self._optimiser.params[GROUP].values())).shape[0]
        return some if sets > 1 else {name: x.flatten(0, 1).unsqueeze(0) for name, x in some.items()}


def made(algo: Algorithm, algorithm: AlgorithmConfig, params: Params, seed: int) -> BeliefLearner | None:
    """What learns the belief of policies `params` with a task axis; None where the algorithm has none."""
    if algorithm.context != "belief":
        return None
    found: Any = algo
    return BeliefLearner(found, algorithm, detached(params), seed)


def sample(known: Batch, cfg: PPOConfig, algo: BeliefPPO, generator: torch.Generator) -> Batch:
    """Rollouts of a memory `[K, N, ...]` with the prefixes, intervals and noise that their bound needs, the same for
    all K sets (see `elbo`).
    """
    sets, stored, length = known["weight"].shape
    chosen = torch.randint(stored, (min(cfg.belief_batch_size, stored),), generator=generator)
    part = {name: x.index_select(1, chosen) for name, x in known.items()}
    size, units = len(chosen), part["state"].shape[-2]

    def drawn(most: int, count: int) -> Tensor:
        return torch.randint(most, (size, count), generator=generator).expand(sets, -1, -1)

    noise = torch.randn(size, cfg.belief_prefixes, units, algo.belief.size, generator=generator)
    return part | {
        "prefix": drawn(length + 1, cfg.belief_prefixes),
        "interval": drawn(length, cfg.belief_intervals),
        "noise": noise.to(part["obs"].dtype).expand(sets, *noise.shape),
    }
