"""Where a number among the settings is looked for, and how it is varied."""

from math import exp, log
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from lwmecps_core.config import config


@config
class Span:
    """A range of a setting, both ends included."""

    low: float
    """The least."""
    high: float
    """The largest."""
    scale: Literal["log", "linear", "complement"] = "log"
    """What is drawn and multiplied: the number, of which each order of magnitude is as likely (log) or each equal part
    (linear), or, as suits a discount, what it lacks to 1, by orders of magnitude (complement)."""
    whole: bool = False
    """Whether it is a whole number."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        if self.scale == "log" and self.low <= 0.0:
            raise ValueError(f"low {self.low:g} must be above 0 on the scale log: take linear")
        if self.scale == "complement" and self.high >= 1.0:
            raise ValueError(f"high {self.high:g} must be below 1 on the scale complement")
        if self.whole and (self.scale == "complement" or self.low % 1.0 or self.high % 1.0):
            raise ValueError("low and high must be whole numbers, on the scale log or linear, where whole is true")
        return self

    def drawn(self, rng: np.random.Generator) -> float:
        """A number of the range."""
        ends = [self._place(x) for x in (self.low, self.high)]
        return self._kept(self._at(float(rng.uniform(min(ends), max(ends)))))

    def varied(self, value: float, factor: float) -> float:
        """The number times `factor` (or what it lacks to 1), within the range; a whole one moves by at least 1."""
        if self.scale == "complement":
            return self._kept(1.0 - (1.0 - value) * factor)
        found = self._kept(value * factor)
        if self.whole and found == value and factor != 1.0:
            return self._kept(value + (1.0 if factor > 1.0 else -1.0))
        return found

    def _kept(self, value: float) -> float:
        kept = min(max(value, self.low), self.high)
        return round(kept) if self.whole else kept

    def _place(self, value: float) -> float:
        if self.scale == "linear":
            return value
        return log(value) if self.scale == "log" else log(1.0 - value)

    def _at(self, place: float) -> float:
        if self.scale == "linear":
            return place
        return exp(place) if self.scale == "log" else 1.0 - exp(place)
