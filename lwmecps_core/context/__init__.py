"""Contexts by the name in an algorithm's settings."""

from lwmecps_core.context.base import Context, with_blocks
from lwmecps_core.context.privileged import Privileged
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import EnvSpec

REGISTRY: dict[str, type[Statistics] | type[Privileged]] = {"statistics": Statistics, "privileged": Privileged}
"""Without `none`, which has neither memory nor features, and those that are learnt, which are part of algorithms."""


def make(name: str, spec: EnvSpec) -> Context | None:
    """The context of that name for one kind of environment; None where nothing is recorded with the observation."""
    return REGISTRY[name](spec) if name in REGISTRY else None


def acting(name: str, spec: EnvSpec, source: str) -> Context | None:
    """As `make`, for somebody who acts on a cluster that may be real.

    Raises `InvalidInput` of `source` where a context must be told what no cluster shows.
    """
    made = make(name, spec)
    if isinstance(made, Privileged):
        reason = f"{name!r} is told what no cluster shows: such a policy is a control, for the simulator only"
        raise InvalidInput(source, [Violation("context", reason)])
    return made


def widened(name: str, spec: EnvSpec) -> EnvSpec:
    """The environment `spec` with the features of a context after its own."""
    return with_blocks(spec, REGISTRY[name].blocks(spec)) if name in REGISTRY else spec
