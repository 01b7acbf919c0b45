"""Settings of measuring a policy or a baseline, by the names that users know."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from lwmecps_core.config import config


@config
class EvaluateConfig:
    """Evaluation of a stored policy or a baseline."""

    episodes: Annotated[int, Field(ge=1)] = 8
    """Episodes per task."""
    episodes_before: Annotated[tuple[Annotated[int, Field(ge=0, le=1000)], ...], Field(min_length=1)] = (0,)
    """How many episodes a policy that remembers has had on each cluster before it is measured; a row for each."""
    baseline: str = ""
    """Name of a baseline to measure in place of a policy, such as hpa_calibrated, static or oracle."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.baseline and self.episodes_before != (0,):
            raise ValueError("episodes_before: a baseline remembers no episodes")
        return self
