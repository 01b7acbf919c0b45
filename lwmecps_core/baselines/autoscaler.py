"""Kubernetes' Horizontal Pod Autoscaler as it is when nobody sets anything but its target: the control `hpa`."""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.baselines.hpa_controller import Controller
from lwmecps_core.baselines.rule import Rule
from lwmecps_core.envs.scene import Ints, Scene, View, to_action
from lwmecps_core.rollout.actor import AnyArray, Memory


def proposals(
    used_millicores: Ints, request_millicores: Ints, ready: Ints, current: Ints, settings: Controller
) -> Ints:
    """`hpa_controller.proposal`, element-wise, of `ready` pods that use the same; −1 for None.

    What `current` has more than are ready is Pending.
    """
    percent = used_millicores * 100 // request_millicores
    ratio = percent / settings.target_percent
    plain = np.where(np.abs(1.0 - ratio) <= settings.tolerance, current, np.ceil(ratio * ready))
    everyone = np.maximum(current, ready)
    spread = used_millicores * ready * 100 // np.maximum(request_millicores * everyone, 1)
    again = spread / settings.target_percent
    wanted = np.ceil(again * everyone)
    kept = (np.abs(1.0 - again) <= settings.tolerance) | (again < 1.0) | (wanted < current)
    rising = (ratio > 1.0) & (current > ready)
    found: Ints = np.where(rising, np.where(kept, current, wanted), plain).astype(np.int64)
    return np.where(ready > 0, found, -1)


class Autoscaler(Rule):
    """The controller for every deployment, of what an observation shows; in v4 new pods go to the node with the least
    CPU requested.

    Its syncs are 15 s apart and the first falls on the first interval. An interval's action answers all syncs since the
    one before: none, or several in a row that see the same usage. Pods that are not ready yet are Pending to it; those
    that are have the deployment's utilisation, in whole millicores. Remembers `t` `[B]`, the number of intervals, and
    `wanted` `[B, syncs of the window, D]`, the recommendations of the latest syncs, the newest first, 0 where there was
    none.
    """

    name = "hpa"

    def __init__(self, scene: Scene, settings: Controller | None = None) -> None:
        self._scene, self._settings = scene, settings or Controller()
        request = [[max(round(d.cpu_millicores), 1) for d in task.deployments] for task in scene.tasks]
        self._request: Ints = np.array(request, np.int64)[scene.task_of]
        self._interval_s = np.array([task.interval_s for task in scene.tasks])[scene.task_of]
        # A sync comes a little later than its period, so that the one a whole window ago has left it.
        self._window = max(ceil(self._settings.stabilisation_s / self._settings.sync_s), 1)

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """No sync has been."""
        shape = (len(seeds), self._window, self._scene.maximum.shape[1])
        return {"t": np.zeros(len(seeds), np.int64), "wanted": np.zeros(shape, np.int64)}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        view = View(self._scene, seen.obs)
        t = np.where(seen.first, 0, memory["t"])
        wanted = np.where(seen.first[:, None, None], 0, memory["wanted"])
        # Margins: an observation's float32 is not quite the share of whole millicores that it came from.
        used: Ints = np.ceil(view.utilisation * self._request - 1e-3).astype(np.int64)
        current = view.desired
        due = self._syncs_until(t) - np.where(t > 0, self._syncs_until(t - 1), 0)
        # Many more than a window's in a row, all of the same usage, change nothing any more.
        for number in range(min(int(due.max(initial=0)), 4 * self._window)):
            on = (number < due)[:, None]
            opening = (t == 0)[:, None] & (number == 0)
            after, latest = self._sync(used, view.ready, current, wanted, opening)
            current, wanted = np.where(on, after, current), np.where(on[..., None], latest, wanted)
        score = -view.node_cpu_requested if hasattr(view, "node_rate") else None
        return Acted(to_action(self._scene, view, current, score), {}, {"t": t + 1, "wanted": wanted})

    def _syncs_until(self, t: Ints) -> Ints:
        """Syncs up to the beginning of interval `t`, the one at 0 s included."""
        whole: Ints = np.floor(t * self._interval_s / self._settings.sync_s + 1e-9).astype(np.int64)
        return whole + 1

    def _sync(
        self, used: Ints, ready: Ints, current: Ints, wanted: Ints, opening: NDArray[np.bool_]
    ) -> tuple[Ints, Ints]:
        """`hpa_controller.decide`, element-wise: replicas asked for, and the recommendations with the new one first."""
        proposal = proposals(used, self._request, np.minimum(ready, current), current, self._settings)
        proposal = np.where(current > 0, proposal, -1)
        # The window of a new autoscaler begins with what it found; what was not proposed is 0.
        newest = np.maximum(proposal, np.where(opening, current, 0))
        wanted = np.concatenate([newest[:, None], wanted[:, :-1]], axis=1)
        limit = np.minimum(np.maximum(2 * current, 4), self._scene.maximum)
        steady = np.clip(wanted.max(1), self._settings.minimum, limit)
        return np.where(proposal >= 0, steady, current), wanted
