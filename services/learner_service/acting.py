"""Decisions of stored policies: observations in, placements out."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from lwmecps_core.acting import Acted
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.deciding import Before, Ready, check_observations, decide, ready
from lwmecps_core.specs import EnvSpec


class LoadedPolicies:
    """Acts with stored policies, keeping the `capacity` last used ones in memory; any number of threads may call it.

    One that acts on clusters of several sizes counts once for each.
    """

    def __init__(self, load_policy: Callable[[str], PolicyData], capacity: int = 16) -> None:
        self._load, self._capacity = load_policy, capacity
        self._lock = threading.Lock()
        self._ready: OrderedDict[tuple[str, EnvSpec | None], Ready] = OrderedDict()

    def act(
        self,
        policy_id: str,
        obs: NDArray[Any],
        mask: NDArray[Any] | None,
        spec: EnvSpec | None = None,
        *,
        greedy: bool,
        seed: int = 0,
        before: Before | None = None,
    ) -> Acted[NDArray[Any]]:
        """Actions `[B, A]` for observations `[B, O]` under masks `[B, M]` (None: everything is allowed).

        They are those of the environment `spec` (None: of the one that the policy was made for). Without `greedy` they
        are drawn from the policy with `seed`. Raises `NotFound` for an unknown policy, `ModelFileNotFound` when its
        weights are missing, `InvalidInput` naming the field that does not fit.
        """
        bound = self.ready(policy_id)
        if spec is None or spec == bound.policy.env_spec:
            mask = check_observations(bound.policy.env_spec, obs, mask)
        else:
            mask = check_observations(spec, obs, mask)
            bound = self.ready(policy_id, spec)
        return decide(bound, obs, mask, before or Before(), greedy=greedy, seed=seed)

    def ready(self, policy_id: str, spec: EnvSpec | None = None) -> Ready:
        """The policy bound to the environment `spec` (None: to the one that it was made for); raises as `act` does."""
        made = self._keep((policy_id, None), lambda: ready(self._load(policy_id)))
        if spec is None or spec == made.policy.env_spec:
            return made
        return self._keep((policy_id, spec), lambda: ready(made.policy, spec, "env_spec"))

    def _keep(self, key: tuple[str, EnvSpec | None], make: Callable[[], Ready]) -> Ready:
        with self._lock:
            if key in self._ready:
                self._ready.move_to_end(key)
                return self._ready[key]
        made = make()  # outside the lock: a slow load must not hold up other policies
        with self._lock:
            self._ready[key] = made
            while len(self._ready) > self._capacity:
                self._ready.popitem(last=False)
        return made
