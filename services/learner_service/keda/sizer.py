"""How many replicas there should be: the policy's word, or what stands in for it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import structlog
from numpy.typing import NDArray

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.envs.actions import discrete_nvec, env_spec, to_discrete
from lwmecps_core.envs.observation import V1, V4, version_of
from lwmecps_core.envs.scene import View, scene
from lwmecps_core.errors import InvalidInput, LwmecpsError, Violation
from lwmecps_core.rollout.actor import Actor, AnyArray, LeftAlone, Memory
from lwmecps_core.rollout.deciding import Before
from lwmecps_core.sim.simulator import limit_placement
from lwmecps_core.sim.state import home_node, kept_replicas, pod_limits
from lwmecps_core.specs import EnvSpec, TaskSpec
from services.learner_service.acting import LoadedPolicies
from services.learner_service.counted import HELD, POLICY, RULE, SIZES
from services.learner_service.keda.trigger import SOURCE, Sizing

_log = structlog.get_logger(__name__)
DRAWS = 32
"""Draws from the policy that tell how sure it is."""
Counts = NDArray[np.int32]


@dataclass(frozen=True)
class Size:
    """Replicas that there should be, `[D, N]`, whose word that is for each deployment, and when it was said."""

    placement: Counts
    by: tuple[str, ...]
    at_s: float


@dataclass(frozen=True)
class DrawnPolicy:
    """A stored policy that acts here, and shows by draws how sure it is."""

    policies: LoadedPolicies
    policy_id: str
    spec: EnvSpec

    def best(self, memory: Memory, seen: Seen[AnyArray]) -> Acted[AnyArray]:
        """Its best choice, `[1, A]`."""
        before = Before(memory, seen.reward_terms, seen.action, seen.first)
        return self.policies.act(self.policy_id, seen.obs, _mask(seen.mask), self.spec, greedy=True, before=before)

    def draws(self, memory: Memory, seen: Seen[AnyArray], seed: int) -> AnyArray:
        """What it might have chosen as well, `[DRAWS, A]`."""

        def often(x: AnyArray) -> AnyArray:
            return np.repeat(x, DRAWS, axis=0)

        kept = {name: often(x) for name, x in memory.items()}
        before = Before(kept, often(seen.reward_terms), often(seen.action), often(seen.first))
        obs, mask = often(seen.obs), _mask(often(seen.mask))
        acted = self.policies.act(self.policy_id, obs, mask, self.spec, greedy=False, seed=seed, before=before)
        return acted.action


@dataclass
class Sizer:
    """An actor of one environment whose choices are told as sizes; what it knows outlives a session (`kept`).

    For each deployment, the size is the policy's while it is sure; else, for `hold_s`, the last that was; then that of
    the `rule` (None: it is not ready yet). `tell` gets each size before the interval that follows passes.
    """

    task: TaskSpec
    sizing: Sizing
    policy: DrawnPolicy
    rule: Callable[[], Actor | None]
    tell: Callable[[Size], None]
    clock: Callable[[], float] = time.monotonic
    kept: Mapping[str, Memory] = field(default_factory=dict)
    _size: Size | None = field(default=None, init=False)
    _good_s: NDArray[np.float64] = field(init=False)
    _intervals: int = field(default=0, init=False)
    _failing: str = field(default="", init=False)

    noise_size = 0

    def __post_init__(self) -> None:
        self._scene = scene([self.task], [0])
        self._left_alone = LeftAlone(self._scene)
        self._good_s = np.full(len(self.task.deployments), -np.inf)

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """Nothing of the environment's own: what is remembered is kept here."""
        return {}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """The policy's choice, or the rule's; the size is told."""
        self._intervals += 1
        now, before = self.clock(), self._before(seen)
        ruled, chosen = self._ruled(seen), self._chosen(seen)
        by_rule = None if ruled is None else placement_of(self.task, ruled, before)
        placement, by = self._held(by_rule, now)
        if chosen is not None:
            best = placement_of(self.task, chosen[0], before)
            sure = self._sure(best, chosen[1], before)
            self._good_s = np.where(sure, now, self._good_s)
            if placement is None and sure.all():
                placement, by = best, (POLICY,) * len(best)
            elif placement is not None:
                placement = np.where(sure[:, None], best, placement)
                by = tuple(POLICY if s else b for s, b in zip(sure, by, strict=True))
        if placement is not None:
            self._say(placement, by, now)
        if chosen is not None:
            return Acted(chosen[0])
        return Acted(self._left_alone.act({}, seen, None).action if ruled is None else ruled)

    def _say(self, placement: Counts, by: tuple[str, ...], now: float) -> None:
        for word in by:
            SIZES.labels(word).inc()
        self._size = Size(placement, by, now)
        self.tell(self._size)

    def _before(self, seen: Seen[AnyArray]) -> Counts:
        """What there should have been until now; at first, what is there."""
        if self._size is not None:
            return self._size.placement
        found = np.zeros(self._scene.limit[0].shape, np.int32)
        found[np.arange(len(found)), self._scene.home[0]] = View(self._scene, seen.obs).desired[0]
        return found

    def _held(self, by_rule: Counts | None, now: float) -> tuple[Counts | None, tuple[str, ...]]:
        """What stands in for the policy, and whose word it is."""
        everyone = range(len(self.task.deployments))
        if self._size is None:
            return by_rule, tuple(RULE for _ in everyone)
        last = self._size.placement
        if by_rule is None:
            return last, tuple(HELD for _ in everyone)
        hold = now - self._good_s <= self.sizing.hold_s
        return np.where(hold[:, None], last, by_rule), tuple(HELD if h else RULE for h in hold)

    def _ruled(self, seen: Seen[AnyArray]) -> AnyArray | None:
        rule = self.rule()
        if rule is None:
            return None
        memory = self.kept.get(RULE) or rule.begin(np.zeros(1, np.uint64))
        acted = rule.act(memory, seen, None)
        self.kept = {**self.kept, RULE: acted.memory}
        return acted.action

    def _chosen(self, seen: Seen[AnyArray]) -> tuple[AnyArray, AnyArray] | None:
        """The policy's best choice `[1, A]` and its draws; None where it can't be asked."""
        memory = self.kept.get(POLICY, {})
        try:
            acted = self.policy.best(memory, seen)
            drawn = self.policy.draws(memory, seen, self._intervals) if self.sizing.sure_share else acted.action
        except LwmecpsError as error:
            if self._failing != str(error):
                _log.warning("the policy can't be asked", policy=self.sizing.policy, error=str(error))
            self._failing = str(error)
            return None
        self._failing = ""
        self.kept = {**self.kept, POLICY: acted.memory}
        return acted.action, drawn

    def _sure(self, best: Counts, drawn: AnyArray, before: Counts) -> NDArray[np.bool_]:
        """For each deployment, whether enough draws are within one replica, or a quarter, of the best choice."""
        wanted = best.sum(axis=1)
        draws = np.array([placement_of(self.task, action[None], before).sum(axis=1) for action in drawn])
        near = np.abs(draws - wanted) <= np.maximum(1, wanted / 4)
        sure: NDArray[np.bool_] = near.mean(axis=0) >= self.sizing.sure_share
        return sure


def placement_of(task: TaskSpec, action: AnyArray, before: Counts) -> Counts:
    """The placement `[D, N]` that an action `[1, A]` asks for, `before` having been asked for so far."""
    limit, most = pod_limits(task), np.array([d.max_replicas for d in task.deployments], np.int64)
    counts = action[0] if env_spec(task).discrete else to_discrete(action, discrete_nvec(task))[0]
    version, homes = version_of(task.env_id), [home_node(task, d) for d in range(len(limit))]
    if version == V4:
        wanted = counts.reshape(limit.shape).astype(np.int32)
    elif version == V1:
        wanted = before.copy()
        wanted[0, homes[0]] += int(counts[0]) - 1
    else:
        wanted = np.zeros(limit.shape, np.int32)
        wanted[np.arange(len(limit)), homes] = counts
    return limit_placement(wanted, limit, most, kept_replicas(task))


def check_scales(task: TaskSpec) -> None:
    """Raise `InvalidInput` for a task whose policies choose nodes, not numbers."""
    if version_of(task.env_id) == 2:
        raise InvalidInput(SOURCE, [Violation("task", f"{task.env_id} does not scale replicas")])


def _mask(mask: AnyArray) -> AnyArray | None:
    return mask if mask.size else None
