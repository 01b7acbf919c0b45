"""The Kubernetes Horizontal Pod Autoscaler's documented formula with settings to tune, and its calibration on tasks.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details; what the real controller
adds to it is in `hpa_controller`, and `docs/hpa.md` says where the two differ.
"""

from collections.abc import Sequence
from itertools import product
from math import ceil
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.baselines.earning import mean_rewards
from lwmecps_core.baselines.rule import NO_TRIALS, Rule, Trials
from lwmecps_core.config import config
from lwmecps_core.envs.scene import Floats, Ints, Scene, View, to_action
from lwmecps_core.rollout.actor import AnyArray, Memory
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import NonNegative, TaskSpec

Target = Annotated[float, Field(gt=0, le=1)]


@config
class HpaSettings:
    """Utilisation to aim at, the relative deviation that is left alone, and how long a scale-down waits.

    Target and tolerance are Kubernetes' defaults; its window is 300 s.
    """

    target: Target = 0.8
    tolerance: NonNegative = 0.1
    stabilisation_s: NonNegative = 0.0


# Far below any sensible target, too: requests that come in bursts leave pods idle most of the time.
TARGETS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
TOLERANCES = (0.0, 0.1, 0.2)
WINDOWS_S = (0.0, 60.0)
GRID = tuple(
    HpaSettings(target=target, tolerance=tolerance, stabilisation_s=window_s)
    for target, tolerance, window_s in product(TARGETS, TOLERANCES, WINDOWS_S)
)
"""Settings whose plans the oracle's search begins with."""
KUBERNETES_WINDOW_S = 300.0
PATIENT = tuple(
    HpaSettings(target=target, tolerance=tolerance, stabilisation_s=KUBERNETES_WINDOW_S)
    for target, tolerance in product(TARGETS, TOLERANCES)
)
CALIBRATION = (*GRID, *PATIENT)
"""Settings that `calibrate` tries: with Kubernetes' own window, too."""


def desired_replicas(ready: Ints, desired: Ints, utilisation: Floats, target: Floats, tolerance: Floats) -> Ints:
    """The rule, element-wise: `ceil(ready × utilisation / target)`, at least 1.

    Left alone: a ratio within the tolerance of 1; deployments without ready replicas; and a scale-up that the replicas
    which are not ready yet already answer.
    """
    ratio = utilisation / target
    # Without the margin 3 × 0.6 / 0.9 would be 3.
    wanted = np.maximum(np.ceil(ready * ratio - 1e-6), 1).astype(np.int64)
    alone = (np.abs(ratio - 1.0) <= tolerance + 1e-9) | (ready == 0) | ((ratio > 1.0) & (wanted < desired))
    kept: Ints = np.where(alone, np.maximum(desired, 1), wanted)
    return kept


class Hpa(Rule):
    """The autoscaler for every deployment; in v4 new pods go to the node with the least CPU requested.

    `settings` is one for all environments, or one for each. Remembers `wishes` `[B, window, D]`, replicas wanted in the
    latest intervals, the newest first; 0 where there was none.
    """

    def __init__(
        self, scene: Scene, settings: HpaSettings | Sequence[HpaSettings], name: str = "hpa", trials: Trials = NO_TRIALS
    ) -> None:
        self.name, self.trials = name, trials
        self._scene = scene
        size = len(scene.task_of)
        each = [settings] * size if isinstance(settings, HpaSettings) else list(settings)
        self._target = np.array([s.target for s in each])[:, None]
        self._tolerance = np.array([s.tolerance for s in each])[:, None]
        interval_s = [scene.tasks[k].interval_s for k in scene.task_of]
        self._window = np.array([1 + ceil(s.stabilisation_s / i) for s, i in zip(each, interval_s, strict=True)])

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """Nothing was wished for yet."""
        deployments = self._scene.maximum.shape[1]
        return {"wishes": np.zeros((len(seeds), int(self._window.max()), deployments), np.int64)}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        view = View(self._scene, seen.obs)
        wanted = desired_replicas(view.ready, view.desired, view.utilisation, self._target, self._tolerance)
        before = np.where(seen.first[:, None, None], 0, memory["wishes"])
        wishes = np.concatenate([wanted[:, None], before[:, :-1]], axis=1)
        inside = np.arange(wishes.shape[1]) < self._window[:, None]
        highest = np.where(inside[..., None], wishes, 0).max(1)
        # A scale-down waits for the highest wish of the window, but never turns into a scale-up.
        totals = np.where(wanted < view.desired, np.minimum(highest, np.maximum(view.desired, 1)), wanted)
        score = -view.node_cpu_requested if hasattr(view, "node_rate") else None
        return Acted(to_action(self._scene, view, totals, score), {}, {"wishes": wishes})


def calibrate(tasks: Sequence[TaskSpec], *, episodes: int = 1, seed: int = 0) -> HpaSettings:
    """The settings of `CALIBRATION` with the highest mean reward on `tasks`."""
    seeds = episode_seeds(seed, episodes * len(tasks))
    # In two parts, because a batch remembers as much for all settings as the longest window of one takes.
    rewards = np.concatenate([mean_rewards(Hpa, part, tasks, seeds) for part in (GRID, PATIENT)])
    return CALIBRATION[int(rewards.argmax())]
