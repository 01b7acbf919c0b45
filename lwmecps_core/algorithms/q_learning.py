"""Tabular Q-learning on a discretised observation."""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Literal

import torch
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms import heads, replay
from lwmecps_core.algorithms.base import Batch, Extra, Forgetful, Params
from lwmecps_core.algorithms.count_loops import FORBIDDEN
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import QLearningConfig
from lwmecps_core.specs import EnvSpec

CHUNK = 16
"""Transitions that one update learns from."""
INITIAL_SCALE = 1e-3
"""Of the first values: just enough that no choice is the first by habit."""
PRIME = 2**31 - 1
MULTIPLIER = 48_271
"""A primitive root of `PRIME` (Park, Miller and Stockmeyer 1993, Communications of the ACM 36(7), 108–110)."""


class QLearning(Forgetful):
    """Q(s, a) moves by `learning_rate` times its mean error over an update's visits (Watkins and Dayan 1992, Machine
    Learning 8, 279–292, equation 1).

    The table is `[table_size, n]`. The table of targets, in `extra`, becomes a copy of it after every update, so that
    an update's target is the table as the update found it; within inner adaptation it stays fixed. Every transition is
    learnt from once, in the update of a random chunk of the newest collection.
    """

    optimiser: Literal["adam", "sgd"] = "sgd"
    max_grad_norm = inf
    memory_size = 0
    inner_groups: tuple[str, ...] = ("critic",)

    def __init__(self, cfg: QLearningConfig, spec: EnvSpec) -> None:
        if not spec.discrete or spec.action_entity != "global" or spec.action_size != 1:
            reason = f"q_learning needs one discrete action for the whole environment; {spec.env_id} has others"
            raise InvalidInput("algorithm", [Violation("name", reason)])
        self.cfg, self.spec = cfg, spec
        self.learning_rate = cfg.learning_rate
        # Digits of a number to base `bins` where there is a row for each; else a polynomial hash modulo a prime (Carter
        # and Wegman 1979, J. of Computer and System Sciences 18, 143–154; Sutton and Barto 2018, section 9.5.4).
        self._own_rows = cfg.bins**spec.obs_size <= cfg.table_size
        base = cfg.bins if self._own_rows else MULTIPLIER
        self._weights = torch.tensor([pow(base, i, PRIME) for i in range(spec.obs_size)])

    @property
    def noise_size(self) -> int:
        """One number decides whether to explore, one which choice."""
        return 2

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """Values near 0; the table of targets starts as a copy."""
        table = INITIAL_SCALE * torch.randn(self.cfg.table_size, heads.choices(self.spec), generator=generator)
        return {"critic": {"table": table}}, {"table": table.clone()}

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """The greedy choice, or with probability `epsilon` any allowed one."""
        values = self._values(params["critic"]["table"], seen.obs, seen.mask).unsqueeze(-2)
        return Acted(heads.epsilon_greedy(values, self.cfg.epsilon, noise))

    def prepare(self, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
        """Transitions with the frame that each led to."""
        return replay.transitions(data, self.cfg.discount_factor)

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """One pass over shuffled chunks."""
        return replay.shuffled(batch, CHUNK, 1, generator)

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """Half the squared error, averaged over the visits of each (row, action) and summed over those visited."""
        table, weight = params["critic"]["table"], batch["weight"]
        best = self._values(extra["table"], batch["next_obs"], batch["next_mask"]).amax(-1)
        goal = batch["reward"] + batch["discount"] * best
        cell = self.rows(batch["obs"]) * table.shape[-1] + batch["action"].squeeze(-1)
        visits = weight.new_zeros(table.flatten(-2).shape).scatter_add(-1, cell, weight).gather(-1, cell)
        error = table.flatten(-2).gather(-1, cell) - goal
        return {"critic": (0.5 * error.square() * weight / visits.clamp_min(1.0)).sum(-1)}

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """Targets come from the table as it is now."""
        return {"table": params["critic"]["table"].detach().clone()}

    def rows(self, obs: Tensor) -> Tensor:
        """The row of the table for observations `[..., O]`: `[...]` int64.

        Every feature is cut into `bins` equal intervals over [-1, 1], the observations' usual scale; what lies beyond
        belongs to the outermost ones.
        """
        bins = self.cfg.bins
        interval = (0.5 * bins * (obs + 1.0)).long().clamp(0, bins - 1)
        key = (interval * self._weights).sum(-1) % PRIME
        return key if self._own_rows else _mixed(key) % self.cfg.table_size

    def _values(self, table: Tensor, obs: Tensor, mask: Tensor) -> Tensor:
        values = table.take_along_dim(self.rows(obs).unsqueeze(-1), -2)
        return values.masked_fill(~mask, FORBIDDEN)


def _mixed(key: Tensor) -> Tensor:
    """A permutation of 32-bit integers that leaves no pattern of neighbouring keys; no product exceeds 63 bits.

    Source: T. Mueller's finaliser, of the form of MurmurHash3's.
    """
    for _ in range(2):
        key = ((key >> 16) ^ key) * 0x45D9F3B & 0xFFFFFFFF
    return (key >> 16) ^ key
