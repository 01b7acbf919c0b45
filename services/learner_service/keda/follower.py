"""Follows clusters interval by interval, so that the size of their Deployments is known before anybody asks."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import repeat

import numpy as np
import structlog

from lwmecps_core import baselines
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import CollectionStopped, InvalidInput, QueueFull, ServiceUnavailable, Violation
from lwmecps_core.rollout.actor import Actor
from lwmecps_core.rollout.play import play
from lwmecps_core.specs import TaskDistribution, TaskSpec
from services.common.sessions import Call, SessionEnv
from services.learner_service.acting import LoadedPolicies
from services.learner_service.keda.sizer import DrawnPolicy, Size, Sizer, check_scales
from services.learner_service.keda.trigger import SOURCE, Sizing

_log = structlog.get_logger(__name__)
RULE = "hpa_calibrated"
LONGEST = 100_000
"""Control intervals of an episode: the most that a task may have."""
MOST = 64
"""Clusters that are followed at once."""
IDLE_S = 900.0
"""A cluster that nobody has asked about for so long is no longer followed."""
PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Before a cluster that could not be followed is tried again; the pause doubles."""


class Follower:
    """Steps a session that changes nothing, on a thread of its own, and has the newest size at hand."""

    def __init__(self, sizing: Sizing, task: TaskSpec, policies: LoadedPolicies, sessions: Call) -> None:
        self.sizing, self.task, self._sessions = sizing, task, sessions
        self._interval_s = task.interval_s / (task.kubernetes.pace if task.kubernetes else 1.0)
        self.asked_s = time.monotonic()
        self.changed = threading.Condition()
        self._size: Size | None = None
        self._why = "the first control interval has not passed yet"
        self._stop = threading.Event()
        self._rule: Actor | None = None
        policy = DrawnPolicy(policies, sizing.policy, env_spec(task))
        self._sizer = Sizer(task, sizing, policy, lambda: self._rule, self._told)

    def start(self) -> None:
        """Begin to follow."""
        for work, name in ((self._follow, "follow"), (self._calibrate, "calibrate")):
            threading.Thread(target=work, name=name, daemon=True).start()

    def stop(self) -> None:
        """Follow no longer, once the present interval is over."""
        self._stop.set()
        with self.changed:
            self.changed.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether it follows no longer."""
        return self._stop.is_set()

    def size(self) -> Size:
        """The newest size; raises `ServiceUnavailable` saying why there is none that still counts."""
        self.asked_s = time.monotonic()
        size = self._size
        if size is None:
            raise ServiceUnavailable(f"no size of task {self.sizing.task} yet: {self._why}")
        age_s = self.asked_s - size.at_s
        if age_s > self._interval_s + self.sizing.hold_s:
            raise ServiceUnavailable(f"no size of task {self.sizing.task} for {age_s:.0f} s: {self._why}")
        return size

    def _told(self, size: Size) -> None:
        with self.changed:
            self._size, self._why = size, "the session does not answer"
            self.changed.notify_all()

    def _follow(self) -> None:
        pause_s = PAUSE_S
        while not self._stop.is_set():
            before = self._size
            try:
                self._play()
            except CollectionStopped:
                return
            except Exception as error:  # whatever it is, it is why there are no new sizes
                self._why = str(error)
                if not self.stopped:  # else what it needs may be stopping, too
                    _log.warning("a cluster can't be followed", task=self.sizing.task, error=str(error))
            pause_s = PAUSE_S if self._size is not before else min(LONGEST_PAUSE_S, 2.0 * pause_s)
            self._stop.wait(pause_s)

    def _play(self) -> None:
        """From the opening of a session to its failure; what the policy remembers is in the sizer."""
        seeds = np.zeros(1, np.uint64)
        with closing(SessionEnv(self._sessions, watched(self.task), self.sizing.backend, self._stop.is_set)) as env:
            frame = env.reset(None)
            intervals = play(env, self._sizer, self._sizer.begin(seeds), frame, repeat(None), new_seeds=lambda: seeds)
            began = time.monotonic()
            for _ in intervals:  # a real cluster's has taken its time; a simulated one's has not
                self._stop.wait(max(0.0, began + self._interval_s - time.monotonic()))
                began = time.monotonic()

    def _calibrate(self) -> None:
        try:
            self._rule = baselines.make(RULE, [self.task], [0])
        except Exception as error:  # the policy can do without
            _log.warning("no rule stands in for the policy", task=self.sizing.task, error=str(error))


def watched(task: TaskSpec) -> TaskSpec:
    """The task as one long episode on a cluster that is only looked at."""
    cluster = replace(task.kubernetes, manage=False, rollback=False) if task.kubernetes else None
    return replace(task, horizon=LONGEST, kubernetes=cluster)


class Followers:
    """The clusters that are followed, by what is asked for; any number of threads may call it."""

    def __init__(
        self,
        load_task: Callable[[str], TaskSpec | TaskDistribution],
        policies: LoadedPolicies,
        sessions: Call,
        most: int = MOST,
        idle_s: float = IDLE_S,
    ) -> None:
        self._load, self._policies, self._sessions = load_task, policies, sessions
        self._most, self._idle_s = most, idle_s
        self._all: dict[Sizing, Follower] = {}
        self._lock = threading.Lock()

    def get(self, sizing: Sizing) -> Follower:
        """The follower, which begins when it is first asked for.

        Raises `NotFound` and `InvalidInput` for a task or policy that there is not, or that don't fit, and `QueueFull`.
        """
        found = self._all.get(sizing)
        if found is not None and not found.stopped:
            return found
        made = self._made(sizing)
        with self._lock:
            self._end_idle()
            found = self._all.get(sizing)
            if found is None or found.stopped:
                if len(self._all) >= self._most:
                    raise QueueFull(f"{self._most} clusters are followed already")
                found = self._all[sizing] = made
                made.start()
        return found

    def stop(self) -> None:
        """Follow nothing any more."""
        with self._lock:
            for follower in self._all.values():
                follower.stop()

    def _made(self, sizing: Sizing) -> Follower:
        task = self._load(sizing.task)
        if isinstance(task, TaskDistribution):
            raise InvalidInput(SOURCE, [Violation("task", "is a distribution: a cluster is one task")])
        check_scales(task)
        self._policies.ready(sizing.policy, env_spec(task))
        return Follower(sizing, task, self._policies, self._sessions)

    def _end_idle(self) -> None:
        now = time.monotonic()
        for sizing, follower in list(self._all.items()):
            if follower.stopped or now - follower.asked_s > self._idle_s:
                follower.stop()
                del self._all[sizing]
