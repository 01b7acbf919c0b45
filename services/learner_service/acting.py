"""Decisions of stored policies: observations in, placements out."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from lwmecps_core.acting import Acted
from lwmecps_core.errors import LwmecpsError, ModelFileNotFound, NotFound
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.deciding import Before, Ready, check_observations, decide, ready
from lwmecps_core.specs import EnvSpec

KNOWN_S = 10.0
"""How long a policy in memory is taken to be stored still, after that was asked."""


class LoadedPolicies:
    """Acts with stored policies, keeping the `capacity` last used ones in memory; any number of threads may call it.

    One that acts on clusters of several sizes counts once for each. Whether a policy in memory is stored still is asked
    of `still_there` (raises as `load_policy` does) beside the calls, at most once in `KNOWN_S`: one that was deleted
    acts no longer than that, and while nobody can say, those in memory go on.
    """

    def __init__(
        self,
        load_policy: Callable[[str], PolicyData],
        capacity: int = 16,
        still_there: Callable[[str], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._capacity, self._still_there, self._clock = load_policy, capacity, still_there, clock
        self._asked_s: dict[str, float] = {}
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
        self._ask(policy_id)
        made = self._keep((policy_id, None), lambda: ready(self._load(policy_id)))
        if spec is None or spec == made.policy.env_spec:
            return made
        return self._keep((policy_id, spec), lambda: ready(made.policy, spec, "env_spec"))

    def _ask(self, policy_id: str) -> None:
        """Begin to find out whether the policy is stored still, where that was not asked lately."""
        with self._lock:
            now = self._clock()
            if due := now - self._asked_s.get(policy_id, now) >= KNOWN_S:
                self._asked_s[policy_id] = now
        if due:
            threading.Thread(target=self._look, args=(policy_id,), daemon=True).start()

    def _look(self, policy_id: str) -> None:
        try:
            self._still_there(policy_id)
        except (NotFound, ModelFileNotFound):
            with self._lock:
                for key in [key for key in self._ready if key[0] == policy_id]:
                    self._drop(key)
        except LwmecpsError:
            pass  # what is in memory acts on while the registry is away

    def _keep(self, key: tuple[str, EnvSpec | None], make: Callable[[], Ready]) -> Ready:
        with self._lock:
            if key in self._ready:
                self._ready.move_to_end(key)
                return self._ready[key]
        made = make()  # outside the lock: a slow load must not hold up other policies
        with self._lock:
            self._ready[key] = made
            if key[1] is None:
                self._asked_s[key[0]] = self._clock()
            while len(self._ready) > self._capacity:
                self._drop(next(iter(self._ready)))
        return made

    def _drop(self, key: tuple[str, EnvSpec | None]) -> None:
        """Forget one; under the lock."""
        del self._ready[key]
        if key[1] is None:
            del self._asked_s[key[0]]
