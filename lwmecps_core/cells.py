"""Settings of what a learnt memory is made of, by the names that users know (`lwmecps_core.algorithms.recurrent`)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lwmecps_core.config import config

CellName = Literal["gru", "lstm", "ntm", "dnc"]


@config
class Remembering:
    """What a memory that is learnt is made of (`context: recurrent`)."""

    cell: CellName = "gru"
    """What a memory that is learnt is made of: gated recurrent units (gru), these with slots beside them that are found
    by content and by place (ntm: Neural Turing Machine, Graves et al. 2014, arXiv:1410.5401) or are allocated and
    linked in the order of writing (dnc: Differentiable Neural Computer, Graves et al. 2016, Nature 538), or long
    short-term memory that begins every episode with nothing (lstm), as in policies of sb3-contrib."""
    cell_size: Annotated[int, Field(ge=0)] = 0
    """Numbers that lstm remembers (0: as many as the last hidden layer has units)."""
    memory_slots: Annotated[int, Field(ge=1, le=64)] = 16
    """Slots of ntm and dnc, of each deployment in set networks; dnc also keeps a link for every two."""
    memory_width: Annotated[int, Field(ge=1, le=64)] = 16
    """Numbers in each of these slots."""
    memory_reads: Annotated[int, Field(ge=1, le=4)] = 1
    """How many of these slots are read at a time."""

    @model_validator(mode="after")
    def _remembers(self) -> Self:
        context = getattr(self, "context", "recurrent")
        if self.cell != "gru" and context != "recurrent":
            raise ValueError(f"cell: {self.cell} is what context: recurrent remembers in, not context: {context}")
        return self
