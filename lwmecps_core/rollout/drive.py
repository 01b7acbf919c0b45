"""Rollouts: what happens while an actor plays, recorded."""

from typing import Any

import numpy as np

from lwmecps_core.batch import INFO_KEYS, RolloutBatch
from lwmecps_core.rollout.actor import Actor, Memory
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.play import Bools, Environments, Floats, Interval, Seeds, play
from lwmecps_core.seeding import generator
from lwmecps_core.specs import EnvSpec


def drive(
    env: Environments,
    actor: Actor,
    plan: CollectionPlan,
    *,
    memory: Memory | None = None,
    again: bool = True,
    over: Bools | None = None,
) -> tuple[list[RolloutBatch], Memory]:
    """Run `plan.episodes` episodes of each task in as many environments of it: one batch per task, and what the actor
    remembers at the end, `[B, ...]`.

    An episode that ends before `length` is followed by a reset step (`valid` false) and another episode, unless `again`
    is false. `memory` takes the place of what the actor begins with; for `over` see `play`.
    """
    k, e = len(plan.seeds), plan.episodes
    length = plan.length or env.spec.horizon
    rngs = [generator(seed) for seed in plan.seeds]

    def new_seeds() -> Seeds:
        return np.concatenate([rng.integers(0, 2**63, e, dtype=np.uint64) for rng in rngs])

    seeds = new_seeds()
    noise: Any = [None] * length
    if not plan.greedy and actor.noise_size:
        noise = np.concatenate([rng.random((length, e, actor.noise_size), dtype=np.float32) for rng in rngs], axis=1)
    frame = env.reset(seeds)
    kept = actor.begin(seeds) if memory is None else memory
    record = _Record(env.spec, length, k * e, kept)
    record.frame(0, *frame)
    intervals = play(env, actor, kept, frame, iter(noise), new_seeds=new_seeds if again else None, over=over)
    for t, interval in enumerate(intervals):
        record.interval(t, interval)
        kept = interval.acted.memory
    return [record.task(i * e, (i + 1) * e, plan.seeds[i]) for i in range(k)], kept


class _Record:
    """Arrays `[T, B]` that a rollout fills, and the memory that it began with."""

    def __init__(self, spec: EnvSpec, length: int, width: int, begun: Memory) -> None:
        self.begun = begun
        kind = np.int32 if spec.discrete else np.float32
        self.obs = np.empty((length + 1, width, spec.obs_size), np.float32)
        self.mask = np.empty((length + 1, width, spec.mask_size), np.bool_)
        self.action = np.empty((length, width, spec.action_size), kind)
        self.reward = np.zeros((length, width), np.float32)
        self.terminated, self.truncated, self.valid = (np.zeros((length, width), np.bool_) for _ in range(3))
        self.extras: dict[str, Floats] = {}
        self.info = {key: np.zeros((length, width), np.float32) for key in INFO_KEYS}

    def frame(self, t: int, obs: Floats, mask: Bools) -> None:
        self.obs[t], self.mask[t] = obs, mask

    def interval(self, t: int, now: Interval) -> None:
        self.action[t], self.valid[t] = now.acted.action, now.valid
        self.reward[t] = np.where(now.valid, now.reward, 0.0)
        self.terminated[t], self.truncated[t] = now.terminated & now.valid, now.truncated & now.valid
        for name, value in now.acted.extras.items():
            self.extras.setdefault(name, np.zeros_like(self.reward))[t] = value
        for key in INFO_KEYS:
            self.info[key][t] = now.info[key]
        self.frame(t + 1, now.obs, now.mask)

    def task(self, start: int, stop: int, seed: int) -> RolloutBatch:
        whole = RolloutBatch(
            obs=self.obs,
            mask=self.mask,
            action=self.action,
            reward=self.reward,
            terminated=self.terminated,
            truncated=self.truncated,
            valid=self.valid,
            extras=self.extras,
            info=self.info,
            begun=self.begun,
            seed=seed,
        )
        return whole.columns(start, stop)
