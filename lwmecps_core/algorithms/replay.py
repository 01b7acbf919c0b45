"""Transitions and how a memory of them is sampled: what every algorithm that learns from old data shares."""

from collections.abc import Iterator, Sequence

import torch

from lwmecps_core.algorithms.base import Batch
from lwmecps_core.algorithms.returns import flat_samples
from lwmecps_core.batch import FIELDS, RolloutBatch


def stacked(batches: Sequence[RolloutBatch]) -> Batch:
    """Rollouts of K tasks as tensors `[K, T(+1), B, ...]`."""
    data = {name: torch.stack([torch.as_tensor(getattr(b, name)) for b in batches]) for name in FIELDS}
    extras = {name: torch.stack([torch.as_tensor(b.extras[name]) for b in batches]) for name in batches[0].extras}
    return data | extras


def transitions(data: Batch) -> Batch:
    """The transitions of a stacked rollout, each with the frame that it led to: `[..., T, B, ...]` → `[..., T·B, ...]`.

    `alive` is 0 where the environment terminated, so that truncated transitions bootstrap; `weight` is 0 where a
    transition only carried a reset.
    """
    lead, dtype = data["reward"].dim() - 2, data["reward"].dtype
    return {
        "obs": flat_samples(data["obs"][..., :-1, :, :], lead),
        "mask": flat_samples(data["mask"][..., :-1, :, :], lead),
        "next_obs": flat_samples(data["obs"][..., 1:, :, :], lead),
        "next_mask": flat_samples(data["mask"][..., 1:, :, :], lead),
        "action": flat_samples(data["action"], lead),
        "reward": flat_samples(data["reward"], lead),
        "alive": 1.0 - flat_samples(data["terminated"], lead).to(dtype),
        "weight": flat_samples(data["valid"], lead).to(dtype),
    }


def minibatches(batch: Batch, size: int, number: int, generator: torch.Generator) -> Iterator[Batch]:
    """`number` uniform samples of `size` transitions, with replacement, of a memory `[..., S, ...]`."""
    axis = batch["weight"].dim() - 1
    stored = batch["weight"].shape[axis]
    for _ in range(number):
        index = torch.randint(stored, (min(stored, size),), generator=generator)
        yield {k: v.index_select(axis, index) for k, v in batch.items()}


def shuffled(batch: Batch, size: int, passes: int, generator: torch.Generator) -> Iterator[Batch]:
    """`passes` passes over samples `[..., S, ...]` in random order, `size` of them at a time."""
    axis = batch["weight"].dim() - 1
    for _ in range(passes):
        order = torch.randperm(batch["weight"].shape[axis], generator=generator)
        for index in torch.split(order, size):
            yield {k: v.index_select(axis, index) for k, v in batch.items()}
