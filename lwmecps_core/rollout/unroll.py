"""Rollouts as a pure function of (tasks, policy snapshot, plan)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Algorithm
from lwmecps_core.baselines.base import scene
from lwmecps_core.baselines.fixed import Static
from lwmecps_core.batch import INFO_KEYS, RolloutBatch
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.chunks import TASKS_PER_CHUNK, chunks, take_tasks
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.seeding import generator
from lwmecps_core.specs import EnvSpec, TaskSpec

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class Environments(Protocol):
    """B environments that `drive` steps; see `BatchEnv`. What a call returns may be overwritten by the next."""

    @property
    def spec(self) -> EnvSpec: ...

    def reset(self, seeds: NDArray[np.uint64]) -> tuple[Floats, Bools]: ...

    def reset_where(self, which: Bools, seeds: NDArray[np.uint64]) -> tuple[Floats, Bools]: ...

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]: ...


def unroll(tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
    """Run `plan.episodes` episodes of every task side by side in the simulator: one batch `[T, episodes]` per task."""
    return drive(BatchEnv(tasks, np.repeat(np.arange(len(tasks)), plan.episodes)), tasks, snapshot, plan)


def drive(
    env: Environments, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan
) -> list[RolloutBatch]:
    """Run `plan.episodes` episodes of each task in as many environments of it: one batch per task.

    An episode that ends before `length` is followed by a reset step (`valid` false) and another episode.
    """
    k, e = len(plan.seeds), plan.episodes
    algo = algorithms.make(snapshot.algorithm, env.spec)
    length = plan.length or env.spec.horizon
    rngs = [generator(seed) for seed in plan.seeds]
    seeds = np.concatenate([rng.integers(0, 2**63, e, dtype=np.uint64) for rng in rngs])
    record = _Record(algo, length, k * e)
    held = np.repeat(np.array(plan.held or (False,) * k), e)
    left_alone = Static(scene(tasks, np.repeat(np.arange(k), e)))
    noise = None if plan.greedy else _noise(rngs, length, e, algo.noise_size)
    obs, mask = env.reset(seeds)
    record.frame(0, obs, mask)
    over = np.zeros(k * e, dtype=bool)
    for t in range(length):
        action, extras = _act(algo, snapshot, obs, mask, None if noise is None else noise[t], k)
        if held.any():
            action = np.where(held[:, None], left_alone.act(obs, mask), action)
        obs, mask, reward, terminated, truncated, info = env.step(action)
        record.transition(t, action, extras, reward, terminated, truncated, info, ~over)
        if over.any():
            seeds = np.concatenate([rng.integers(0, 2**63, e, dtype=np.uint64) for rng in rngs])
            obs, mask = env.reset_where(over, seeds)
        record.frame(t + 1, obs, mask)
        over = record.over(t)
    return [record.task(i * e, (i + 1) * e, snapshot.version, plan.seeds[i]) for i in range(k)]


@dataclass(frozen=True)
class LocalCollector:
    """A collector in this process: no queue, no other process.

    It unrolls as many tasks at a time as workers do: the last bits of a matrix product depend on its size.
    """

    tasks_per_unroll: int = TASKS_PER_CHUNK

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`."""
        return [
            batch
            for start, part, part_plan in chunks(tasks, plan, self.tasks_per_unroll)
            for batch in unroll(part, take_tasks(snapshot, start, start + len(part)), part_plan)
        ]


def _noise(rngs: Sequence[np.random.Generator], length: int, episodes: int, size: int) -> NDArray[np.float32]:
    """`[T, K·E, size]`, each task's part drawn from that task's own generator."""
    return np.concatenate([rng.random((length, episodes, size), dtype=np.float32) for rng in rngs], axis=1)


def _act(
    algo: Algorithm,
    snapshot: PolicySnapshot,
    obs: NDArray[np.float32],
    mask: NDArray[np.bool_],
    noise: NDArray[np.float32] | None,
    tasks: int,
) -> tuple[NDArray[np.generic], dict[str, NDArray[np.float32]]]:
    lead = (tasks, len(obs) // tasks) if snapshot.per_task else (len(obs),)

    def view(a: NDArray[Any]) -> Tensor:
        return torch.from_numpy(a).reshape(*lead, a.shape[-1])

    with torch.inference_mode():
        out = algo.act(snapshot.params, snapshot.extra, view(obs), view(mask), None if noise is None else view(noise))
    action = out.action.reshape(-1, out.action.shape[-1]).numpy()
    return action, {name: x.reshape(-1).numpy() for name, x in out.extras.items()}


class _Record:
    """Arrays `[T, K·E]` that a rollout fills."""

    def __init__(self, algo: Algorithm, length: int, width: int) -> None:
        spec = algo.spec
        kind = np.int32 if spec.discrete else np.float32
        self.obs = np.empty((length + 1, width, spec.obs_size), np.float32)
        self.mask = np.empty((length + 1, width, spec.mask_size), np.bool_)
        self.action = np.empty((length, width, spec.action_size), kind)
        self.reward = np.zeros((length, width), np.float32)
        self.terminated, self.truncated, self.valid = (np.zeros((length, width), np.bool_) for _ in range(3))
        self.extras: dict[str, NDArray[np.float32]] = {}
        self.info = {key: np.zeros((length, width), np.float32) for key in INFO_KEYS}

    def frame(self, t: int, obs: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        self.obs[t], self.mask[t] = obs, mask

    def transition(
        self,
        t: int,
        action: NDArray[np.generic],
        extras: dict[str, NDArray[np.float32]],
        reward: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        info: dict[str, NDArray[np.float32]],
        valid: NDArray[np.bool_],
    ) -> None:
        self.action[t], self.valid[t] = action, valid
        self.reward[t] = np.where(valid, reward, 0.0)
        self.terminated[t], self.truncated[t] = terminated & valid, truncated & valid
        for name, value in extras.items():
            self.extras.setdefault(name, np.zeros_like(self.reward))[t] = value
        for key in INFO_KEYS:
            self.info[key][t] = info[key]

    def over(self, t: int) -> NDArray[np.bool_]:
        result: NDArray[np.bool_] = self.terminated[t] | self.truncated[t]
        return result

    def task(self, start: int, stop: int, version: int, seed: int) -> RolloutBatch:
        whole = RolloutBatch(
            self.obs,
            self.mask,
            self.action,
            self.reward,
            self.terminated,
            self.truncated,
            self.valid,
            self.extras,
            self.info,
            version,
            seed,
        )
        return whole.columns(start, stop)
