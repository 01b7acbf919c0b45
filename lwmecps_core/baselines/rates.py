"""Replicas from rate and service time: what queueing theory says without a simulator or weights."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.baselines.earning import mean_rewards
from lwmecps_core.baselines.rule import NO_TRIALS, Rule, Trials
from lwmecps_core.config import config
from lwmecps_core.envs.observation import V2
from lwmecps_core.envs.scene import Scene, View, to_action
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.actor import AnyArray, Memory
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import TaskSpec

SATURATED = 0.95
"""Utilisation from which on replicas no longer show how much work there is."""
UTILISATIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Values of ρ that are tried where it is chosen."""
SMOOTHING = 0.5
"""Weight of the newest interval in the smoothed rate."""


@config
class RateSettings:
    """What `RateRule` aims at."""

    utilisation: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the replicas that shall be busy, ρ."""
    off: tuple[int, ...] = ()
    """Deployments that don't run, so that others answer for them (v3), by number."""


class RateRule(Rule):
    """`ceil(rate × service time / ρ)` replicas of every deployment, at least 1.

    The rate is smoothed; the service time is the busy replicas' sum divided by the rates' over all intervals in which
    replicas had idle time (Little's law). Before there was one, replicas grow by 1 / ρ. What was learnt of service
    times lasts over the episodes of a task. `settings` is one for all environments, or one for each. Remembers `busy`
    and `rate` (sums) and `smoothed`, `[B, D]` each. In v4 pods go next to their users.
    """

    def __init__(
        self,
        scene: Scene,
        settings: RateSettings | Sequence[RateSettings],
        name: str = "rate_rule",
        trials: Trials = NO_TRIALS,
    ) -> None:
        if scene.version == V2:
            raise InvalidInput(name, [Violation("env_id", f"{scene.spec.env_id} does not scale replicas")])
        self.name, self.trials, self._scene = name, trials, scene
        size, count = len(scene.task_of), scene.maximum.shape[1]
        each = [settings] * size if isinstance(settings, RateSettings) else list(settings)
        self._utilisation = np.array([s.utilisation for s in each])[:, None]
        self._off = np.array([[d in s.off for d in range(count)] for s in each])

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """Nothing was measured yet."""
        return {name: np.zeros((len(seeds), self._off.shape[1])) for name in ("busy", "rate", "smoothed")}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        view = View(self._scene, seen.obs)
        telling = (view.utilisation < SATURATED) & (view.ready > 0)
        busy = memory["busy"] + np.where(telling, view.busy, 0.0)
        rate = memory["rate"] + np.where(telling, view.rate, 0.0)
        before = np.where(seen.first[:, None], view.rate, memory["smoothed"])
        smoothed = before + SMOOTHING * (view.rate - before)
        needed = smoothed * busy / np.maximum(rate, 1e-9)
        known = np.ceil(np.where(rate > 0, needed, view.ready) / self._utilisation - 1e-6)
        totals = np.where(self._off, 0, np.maximum(known, 1)).astype(np.int64)
        score = view.node_rate if hasattr(view, "node_rate") else None
        action = to_action(self._scene, view, totals, score)
        return Acted(action, {}, {"busy": busy, "rate": rate, "smoothed": smoothed})


def calibrate_rates(tasks: Sequence[TaskSpec]) -> RateSettings:
    """The settings with the utilisation, of `UTILISATIONS`, that has the highest mean reward on `tasks`."""
    each = [RateSettings(utilisation=u) for u in UTILISATIONS]
    return each[int(mean_rewards(RateRule, each, tasks, episode_seeds(0, len(tasks))).argmax())]
