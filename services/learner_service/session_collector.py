"""Collection on a real cluster: episodes one after the other, through a session of the env-service."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from lwmecps_core.batch import RolloutBatch, concatenate
from lwmecps_core.rollout.chunks import take_tasks
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.inbox import Ledger
from lwmecps_core.rollout.unroll import rollouts
from lwmecps_core.run_config import Backend
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.sampling import seeds
from services.common.sessions import Call, SessionEnv


class SessionCollector:
    """A `RunCollector` that acts on real clusters itself: no queue, because no other worker could do it again.

    The session stays open between the collections of a run, so that nobody else takes the cluster meanwhile. The
    results are no pure function of the arguments: seeds decide how the policy explores, not what the cluster does.
    """

    def __init__(self, service: Call, backend: Backend, stop: Callable[[], bool]) -> None:
        self._service, self._backend, self._stop = service, backend, stop
        self._env: SessionEnv | None = None

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`; task after task, episode after episode."""
        return [
            self._episodes(
                self._on(task),
                take_tasks(snapshot, k, k + 1),
                replace(plan, seeds=(plan.seeds[k],), held=plan.held[k : k + 1]),
            )
            for k, task in enumerate(tasks)
        ]

    def ledger(self) -> None:
        """Nothing travels, so nothing is counted."""

    def resume(self, ledger: Ledger) -> None:
        """Nothing is counted."""

    def waiting_for(self) -> str:
        """Nothing that it could name: it acts itself."""
        return ""

    def commit(self) -> None:
        """Nothing is kept that a checkpoint could free."""

    def close(self, *, ended: bool) -> None:
        """Let go of the cluster."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _on(self, task: TaskSpec) -> SessionEnv:
        if self._env is None or self._env.task != task:
            self.close(ended=False)
            self._env = SessionEnv(self._service, task, self._backend, self._stop)
        return self._env

    def _episodes(self, env: SessionEnv, snapshot: PolicySnapshot, plan: CollectionPlan) -> RolloutBatch:
        """One after the other: what the policy remembers after an episode is what it begins the next one with."""
        (seed,) = plan.seeds
        done: list[RolloutBatch] = []
        snapshot = replace(snapshot, memory={name: x[:, :1] for name, x in snapshot.memory.items()})
        for episode in seeds(seed, "episodes", plan.episodes):
            done += rollouts(env, (env.task,), snapshot, replace(plan, seeds=(episode,), episodes=1))
            last = {name: torch.as_tensor(x).unsqueeze(0) for name, x in done[-1].memory.items()}
            snapshot = replace(snapshot, memory=last)
        kept = {name: np.repeat(x, len(done), axis=0) for name, x in done[-1].memory.items()}
        return replace(concatenate(done), seed=seed, memory=kept)
