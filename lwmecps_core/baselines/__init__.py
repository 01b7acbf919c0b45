"""Controls that learnt policies are held against: rules that read the observation only, and the oracle.

A new one is a class with the contract `Rule` (an `Actor` with a name) and a line in `REGISTRY`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from lwmecps_core.baselines.autoscaler import Autoscaler
from lwmecps_core.baselines.balance import OptimizedBalance
from lwmecps_core.baselines.calibration import calibrated_for, rates_calibrated_for
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

REGISTRY: dict[str, Callable[[Scene], Rule]] = {
    "random": RandomPolicy,
    "uniform": Uniform,
    "static": Static,
    "greedy_latency": lambda s: Greedy(s, "latency"),
    "greedy_load": lambda s: Greedy(s, "load"),
    "optimized_balance": OptimizedBalance,
    "hpa": Autoscaler,
    "hpa_calibrated": lambda s: Hpa(s, [calibrated_for(s.tasks[k]) for k in s.task_of], "hpa_calibrated"),
    "hpa_tuned": hpa_tuned,
    "rate_rule": lambda s: RateRule(s, [rates_calibrated_for(s.tasks[k]) for k in s.task_of]),
    "rate_rule_adapted": rate_rule_adapted,
    "oracle": Oracle,
}
NAMES = tuple(REGISTRY)


def make(name: str, tasks: Sequence[TaskSpec], task_of: ArrayLike, *, training_tasks: Sequence[TaskSpec] = ()) -> Rule:
    """The baseline `name` for `BatchEnv(tasks, task_of)`.

    `hpa_calibrated` is tuned on `training_tasks`, or, without any, on tasks drawn from the given tasks' families.
    Raises `InvalidInput` for a name that is unknown or a baseline that makes no sense in the tasks' environment.
    """
    if name not in REGISTRY:
        raise InvalidInput("baseline", [Violation("name", f"{name!r} is none of {', '.join(NAMES)}")])
    where = scene(tasks, np.asarray(task_of))
    if name == "hpa_calibrated" and training_tasks:
        return Hpa(where, calibrate(training_tasks), name)
    return REGISTRY[name](where)
