"""Contexts by the name in an algorithm's settings."""

from collections.abc import Callable

from lwmecps_core.context.base import Context, with_blocks
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.specs import EnvSpec

REGISTRY: dict[str, type[Statistics]] = {"statistics": Statistics}
"""Without `none`, which has neither memory nor features."""


def make(name: str, spec: EnvSpec) -> Context | None:
    """The context of that name for one kind of environment; None for `none`."""
    return None if name == "none" else _known(name)(spec)


def widened(name: str, spec: EnvSpec) -> EnvSpec:
    """The environment `spec` with the features of a context after its own."""
    return spec if name == "none" else with_blocks(spec, REGISTRY[name].blocks(spec))


def _known(name: str) -> Callable[[EnvSpec], Context]:
    return REGISTRY[name]
