"""What of an observation the networks of a policy see."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.context import widened
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import EnvSpec

ROWS = {"deployment": ("deployment",), "pair": ("deployment", "node", "pair")}
"""What the components of an action are of → what a set network has rows of."""


def shown(cfg: AlgorithmConfig, spec: EnvSpec) -> EnvSpec:
    """The environment `spec` as the networks of an algorithm see it: with the features of its context, without the
    blocks that it ignores. Raises `InvalidInput` for a set network that would see nothing of what its rows are of.
    """
    whole = widened(cfg.context, spec)
    seen = whole.without(cfg.ignore_blocks)
    rows = ROWS.get(spec.action_entity, ()) if getattr(cfg, "network", "mlp") == "set" else ()
    if blind := [entity for entity in rows if whole.rows_of(entity) and not seen.rows_of(entity)]:
        reason = (
            f"nothing would be left of what a set network has rows of ({', '.join(blind)}); `network: mlp` needs none"
        )
        raise InvalidInput("settings", [Violation("ignore_blocks", reason)])
    return seen


def visible(cfg: AlgorithmConfig, spec: EnvSpec, obs: Tensor) -> Tensor:
    """What the networks see of observations `[..., O]` of the environment `spec`, which the features of the context
    follow.
    """
    columns = _columns(widened(cfg.context, spec), cfg.ignore_blocks)
    return obs if columns is None else obs[..., columns]


@lru_cache(maxsize=256)
def _columns(spec: EnvSpec, ignored: tuple[str, ...]) -> Tensor | None:
    """Which numbers of an observation are left; None: all."""
    kept = torch.cat([torch.full((prod(shape),), name not in ignored) for name, shape in spec.blocks])
    return None if kept.all() else kept.nonzero().squeeze(-1)


class Selective:
    """An algorithm whose networks see other blocks than the environment `spec` shows; all else is the algorithm's."""

    def __init__(self, algorithm: Algorithm, cfg: AlgorithmConfig, spec: EnvSpec) -> None:
        self.spec, self._algorithm, self._cfg = spec, algorithm, cfg

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """See `Algorithm.act`."""
        seen = replace(seen, obs=visible(self._cfg, self.spec, seen.obs))
        return self._algorithm.act(params, extra, memory, seen, noise)

    def prepare(self, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
        """See `Algorithm.prepare`; the result holds only what the networks see."""
        data = data | {"obs": visible(self._cfg, self.spec, data["obs"])}
        return self._algorithm.prepare(params, extra, data, generator)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)
