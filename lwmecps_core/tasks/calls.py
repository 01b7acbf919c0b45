"""Who calls whom: what requests to one deployment ask of others."""

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.parts import in_calling_order
from lwmecps_core.specs import TaskSpec


def times_called(task: TaskSpec) -> NDArray[np.float64]:
    """How often a request to deployment i calls deployment j, on average: `[D, D]`."""
    at = {d.name: i for i, d in enumerate(task.deployments)}
    found = np.zeros((len(at), len(at)))
    for i, d in enumerate(task.deployments):
        for call in d.calls:
            found[i, at[call.deployment]] = call.times
    return found


def of_users(task: TaskSpec, rates: NDArray[np.float64], users: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of requests per second `[D]`, those that users send, `users` `[N]` in all; without calls these are all of them.

    Whom a deployment without replicas hands its users' requests to is left out.
    """
    return users @ np.array(task.workload.share) if any(d.calls for d in task.deployments) else rates


def with_calls(task: TaskSpec, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Requests of users `[..., D]` and all that they come to, where every one is served."""
    if not any(d.calls for d in task.deployments):
        return rates
    times, found = times_called(task), rates.copy()
    for i in in_calling_order(task.deployments):
        found += found[..., i : i + 1] * times[i]
    return found
