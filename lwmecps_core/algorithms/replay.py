"""Transitions and how a memory of them is sampled: what every algorithm that learns from old data shares."""

from collections.abc import Iterator, Sequence
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.algorithms.base import Batch, Extra, Forgetful, Params
from lwmecps_core.algorithms.networks import Architecture
from lwmecps_core.algorithms.returns import flat_samples
from lwmecps_core.batch import FIELDS, RolloutBatch
from lwmecps_core.run_config import DQNConfig, SACConfig, TD3Config
from lwmecps_core.specs import EnvSpec
from lwmecps_core.tree import prefixed

C = TypeVar("C", DQNConfig, SACConfig, TD3Config)


class FromMemory(Forgetful, Generic[C]):
    """Base of algorithms whose networks learn from a memory of transitions, `updates_per_batch` samples at a time."""

    optimiser: Literal["adam", "sgd"] = "adam"

    def __init__(self, cfg: C, spec: EnvSpec) -> None:
        self.cfg: C = cfg
        self.spec = spec
        self.learning_rate, self.max_grad_norm = cfg.learning_rate, cfg.max_grad_norm
        self.memory_size = cfg.memory_size
        self._nets = Architecture(spec, cfg.hidden_size, cfg.network)

    def prepare(self, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
        """Transitions with the frame that each led to, and the noise that the losses need."""
        return self._with_noise(transitions(data, self.cfg.discount_factor, self.cfg.return_steps), generator)

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """`updates_per_batch` uniform samples of `batch_size` transitions from memory, with new noise."""
        for part in minibatches(batch, self.cfg.batch_size, self.cfg.updates_per_batch, generator):
            yield self._with_noise(part, generator)

    def _with_noise(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch and the random numbers that its losses need: none, unless an algorithm says otherwise."""
        return batch


def stacked(batches: Sequence[RolloutBatch]) -> Batch:
    """Rollouts of K tasks as tensors `[K, T(+1), B, ...]`."""
    data = {name: torch.stack([torch.as_tensor(getattr(b, name)) for b in batches]) for name in FIELDS}
    extras = {name: torch.stack([torch.as_tensor(b.extras[name]) for b in batches]) for name in batches[0].extras}
    return data | extras | _remembered(batches)


def _remembered(batches: Sequence[RolloutBatch]) -> Batch:
    """What a policy that remembers was told beside observations, `reward_terms` `[K, T, B, terms]`, and what it
    remembered when the rollouts began: `begun/name` `[K, B, ...]`.
    """
    if not batches[0].begun:
        return {}
    terms = [np.stack([b.info[key] for key in REWARD_TERMS], -1) for b in batches]
    begun = {name: torch.stack([torch.as_tensor(b.begun[name]) for b in batches]) for name in batches[0].begun}
    return prefixed(begun, "begun/") | {"reward_terms": torch.as_tensor(np.stack(terms))}


def transitions(data: Batch, discount: float, steps: int = 1) -> Batch:
    """The transitions of a stacked rollout, each with the frame that `steps` intervals led to and what these earned,
    discounted: `[..., T, B, ...]` → `[..., T·B, ...]`.

    Fewer intervals where an episode or the rollout ends before. `discount` is what the value of that frame counts: 0
    where the environment terminated, so that truncated transitions bootstrap. `weight` is 0 where a transition only
    carried a reset. Actions of older policies are not corrected for.

    Source: Sutton and Barto 2018, equation 7.1; Hessel et al. 2018, arXiv:1710.02298.
    """
    lead = data["reward"].dim() - 2
    reward, reached, left = _returns(data, discount, steps)
    return {
        "obs": flat_samples(data["obs"][..., :-1, :, :], lead),
        "mask": flat_samples(data["mask"][..., :-1, :, :], lead),
        "next_obs": flat_samples(_at(data["obs"], reached), lead),
        "next_mask": flat_samples(_at(data["mask"], reached), lead),
        "action": flat_samples(data["action"], lead),
        "reward": flat_samples(reward, lead),
        "discount": flat_samples(left, lead),
        "weight": flat_samples(data["valid"], lead).to(data["reward"].dtype),
    }


def _returns(data: Batch, discount: float, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """What up to `steps` intervals earn, the index of the frame that they lead to, and what its value counts, all
    `[..., T, B]`.
    """
    earned, terminated = data["reward"], data["terminated"]
    length = earned.shape[-2]
    ended = terminated | data["truncated"]
    reward, goes_on = torch.zeros_like(earned), torch.ones_like(ended)
    reached, left = torch.arange(length).unsqueeze(-1).expand(earned.shape).clone(), torch.ones_like(earned)
    for ahead in range(min(steps, length)):
        here = torch.zeros_like(goes_on)
        here[..., : length - ahead, :] = goes_on[..., : length - ahead, :]
        last, goes_on = terminated.roll(-ahead, -2), here & ~ended.roll(-ahead, -2)
        reward = torch.where(here, reward + left * earned.roll(-ahead, -2), reward)
        left = torch.where(here, torch.where(last, 0.0, discount * left), left)
        reached = reached + here
    return reward, reached, left


def _at(frames: Tensor, index: Tensor) -> Tensor:
    """`[..., T+1, B, F]` at `index` `[..., T, B]`."""
    return frames.gather(-3, index.unsqueeze(-1).expand(*index.shape, frames.shape[-1]))


def minibatches(batch: Batch, size: int, number: int, generator: torch.Generator) -> Iterator[Batch]:
    """`number` uniform samples of `size` transitions, with replacement, of a memory `[..., S, ...]`."""
    axis = batch["weight"].dim() - 1
    stored = batch["weight"].shape[axis]
    for _ in range(number):
        index = torch.randint(stored, (min(stored, size),), generator=generator)
        yield {k: v.index_select(axis, index) for k, v in batch.items()}


def shuffled(batch: Batch, size: int, passes: int, generator: torch.Generator, *, axis: int = -1) -> Iterator[Batch]:
    """`passes` passes over samples `[..., S, ...]` in random order, `size` of them at a time; S is that axis of
    `weight`.
    """
    axis += batch["weight"].dim()
    for _ in range(passes):
        order = torch.randperm(batch["weight"].shape[axis], generator=generator)
        for index in torch.split(order, size):
            yield {k: v.index_select(axis, index) for k, v in batch.items()}
