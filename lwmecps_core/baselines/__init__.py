"""Controls that learnt policies are held against: rules that read the observation only, and the oracle.

A new one is a class with the base `Rule` and a line in `REGISTRY`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from lwmecps_core.baselines.autoscaler import Autoscaler
from lwmecps_core.baselines.balance import OptimizedBalance
from lwmecps_core.baselines.calibration import hpa_settings, rate_settings
from lwmecps_core.baselines.fixed import Static, Uniform
from lwmecps_core.baselines.greedy import Greedy
from lwmecps_core.baselines.hpa import Hpa, HpaSettings, calibrate
from lwmecps_core.baselines.oracle import Oracle
from lwmecps_core.baselines.random import RandomPolicy
from lwmecps_core.baselines.rates import RateRule
from lwmecps_core.baselines.rule import Rule
from lwmecps_core.baselines.trials import hpa_tuned, rate_rule_adapted
from lwmecps_core.envs.scene import Scene, scene
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import TaskSpec

__all__ = ["NAMES", "REGISTRY", "HpaSettings", "Rule", "Scene", "calibrate", "make"]

REGISTRY: dict[str, Callable[[Scene, Sequence[TaskSpec]], Rule]] = {
    "random": lambda s, _: RandomPolicy(s),
    "uniform": lambda s, _: Uniform(s),
    "static": lambda s, _: Static(s),
    "greedy_latency": lambda s, _: Greedy(s, "latency"),
    "greedy_load": lambda s, _: Greedy(s, "load"),
    "optimized_balance": lambda s, _: OptimizedBalance(s),
    "hpa": lambda s, _: Autoscaler(s),
    "hpa_calibrated": lambda s, training: Hpa(s, hpa_settings(s, training), "hpa_calibrated"),
    "hpa_tuned": hpa_tuned,
    "rate_rule": lambda s, training: RateRule(s, rate_settings(s, training)),
    "rate_rule_adapted": lambda s, _: rate_rule_adapted(s),
    "oracle": lambda s, _: Oracle(s),
}
"""Name of a baseline → what makes it from its scene and the training tasks on which it is tuned, if it is."""
NAMES = tuple(REGISTRY)


def make(name: str, tasks: Sequence[TaskSpec], task_of: ArrayLike, *, training_tasks: Sequence[TaskSpec] = ()) -> Rule:
    """The baseline `name` for `BatchEnv(tasks, task_of)`.

    Rules with settings are tuned on `training_tasks`, or, without any, on tasks drawn from the given tasks' families.
    Raises `InvalidInput` for a name that is unknown or a baseline that makes no sense in the tasks' environment.
    """
    if name not in REGISTRY:
        raise InvalidInput("baseline", [Violation("name", f"{name!r} is none of {', '.join(NAMES)}")])
    return REGISTRY[name](scene(tasks, np.asarray(task_of)), training_tasks)
