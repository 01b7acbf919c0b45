"""What a baseline is beside an actor."""

from typing import Protocol

from lwmecps_core.rollout.actor import Actor


class Rule(Actor, Protocol):
    """An actor that learns nothing, made for one `Scene`; what it remembers is of one episode."""

    @property
    def name(self) -> str:
        """Its key in the registry of baselines."""
