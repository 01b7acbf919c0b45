"""Contexts by the name in an algorithm's settings."""

from lwmecps_core.context.base import Context, with_blocks
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.specs import EnvSpec

REGISTRY: dict[str, type[Statistics]] = {"statistics": Statistics}
"""Without `none`, which has neither memory nor features, and `recurrent`, which is part of the algorithm."""


def make(name: str, spec: EnvSpec) -> Context | None:
    """The context of that name for one kind of environment; None where nothing is recorded with the observation."""
    return REGISTRY[name](spec) if name in REGISTRY else None


def widened(name: str, spec: EnvSpec) -> EnvSpec:
    """The environment `spec` with the features of a context after its own."""
    return with_blocks(spec, REGISTRY[name].blocks(spec)) if name in REGISTRY else spec
