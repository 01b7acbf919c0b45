"""Settings of a belief about the cluster, by the names that users know (see `lwmecps_core.algorithms.belief`)."""

from typing import Annotated

from pydantic import Field

from lwmecps_core.config import NonNegative, Positive, config


@config
class Believing:
    """How a belief is made and learnt (VariBAD: Zintgraf et al. 2020, arXiv:1910.08348)."""

    belief_size: Annotated[int, Field(ge=1, le=256)] = 5
    """With `context: belief`: numbers of what is believed, of each deployment in set networks; the policy sees a mean
    and a variance of each."""
    belief_lr: Positive = 3e-3
    """Step size of the belief's own optimiser."""
    belief_kl_weight: NonNegative = 1.0
    """Weight of how far a belief is from the one before, beside how likely it makes what was seen (1: the bound that
    the equations have)."""
    belief_prefixes: Annotated[int, Field(ge=1, le=64)] = 8
    """Beliefs of each rollout that an update looks at, drawn from all of its intervals."""
    belief_intervals: Annotated[int, Field(ge=1, le=256)] = 32
    """Intervals of a rollout, past and future, that each of these has to explain, drawn from all."""
    belief_updates: Annotated[int, Field(ge=1, le=1_000)] = 8
    """Updates of the belief after each collected batch."""
    belief_batch_size: Annotated[int, Field(ge=1, le=256)] = 16
    """Rollouts of each update."""
    belief_memory_size: Annotated[int, Field(ge=1, le=2_048)] = 256
    """Rollouts that the belief learns from, the newest ones; a checkpoint holds them."""
    belief_told: NonNegative = 0.0
    """Weight of the service times that a belief has to name, too, beside one interval of what was seen: these only the
    simulator can tell, so it is a control (0: nothing is told)."""
