"""The contract of an algorithm: a small object of pure functions over parameter trees.

Any meta-learner wraps any algorithm, because a loss is a deterministic function of (params, extra, batch): randomness
enters as tensors, what must stay fixed sits in `extra` or in the batch, and no loss detaches anything.

Everything takes a leading task axis: with parameters `[K, ...]` and data `[K, ...]`, one call does the work of K calls
(K may also be absent). `docs/decisions/0001-task-axis.md` says why this is written out and not left to `vmap`.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor

from lwmecps_core.acting import REWARD_TERMS, Acted, Seen
from lwmecps_core.specs import EnvSpec

OptimiserName = Literal["adam", "bounded_adam", "sgd"]
"""See `lwmecps_core.optimiser.Optimiser`."""
Params = dict[str, dict[str, Tensor]]
"""Group ("actor", "critic") → name → tensor."""
Extra = dict[str, Tensor]
"""State that no gradient reaches: target networks, exploration rates."""
LEARNER = "learner/"
"""What names in `Extra` begin with where acting needs nothing of them: they stay with whoever learns."""
GIVEN = f"{LEARNER}given/"
"""And what came with the settings when the policy was made: whoever begins anew with random weights has it, too."""
ONE_SCALE = "one_scale"
"""A field of a stacked rollout `[K]` whose tasks' rewards are of one scale, so that they count beside one another."""
Batch = dict[str, Tensor]
"""What a loss reads: field → tensor `[..., S, ...]`, S samples: transitions, or sequences of them."""


class Algorithm(Protocol):
    """A base reinforcement-learning algorithm for one `EnvSpec` (bound at construction)."""

    spec: EnvSpec
    learning_rate: float
    max_grad_norm: float
    memory_size: int
    """How many transitions a learner keeps and learns from; 0: only those of the newest collection."""
    inner_groups: tuple[str, ...]
    """The parameter groups that an inner step of meta-learning moves."""

    @property
    def optimiser(self) -> OptimiserName:
        """How a descent steps."""

    @property
    def noise_size(self) -> int:
        """How many uniform(0, 1) numbers `act` consumes per environment and step."""

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """Fresh parameters and extra state, without a task axis."""

    def memory(self, width: int) -> dict[str, Tensor]:
        """What the policy remembers of `width` environments that it has seen nothing of: name → `[width, ...]`.

        Empty for a policy that acts on the newest observation alone.
        """

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """Choose actions on what is `seen` of `[..., B]` environments, with `noise` `[..., B, noise_size]`.

        Without noise the choice is deterministic (the policy's mode, the greedy action). `memory` has `seen`'s leading
        axes, and so has the one that is returned, which may share numbers with what was seen.
        """

    def prepare(self, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
        """All of a stacked rollout as one batch, with what the loss needs (returns, advantages, noise).

        `data` holds `RolloutBatch`'s fields as tensors with a task axis, time before environments: `obs`
        `[K, T+1, B, O]`, `reward` `[K, T, B]`…; of a policy that remembers, also `reward_terms` `[K, T, B, terms]`, and
        its memory at first, `begun/name` `[K, B, ...]`. The result has samples in front: `[K, T·B, ...]`, or
        `[K, B, T, ...]` where samples are sequences.
        """

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """Shuffled minibatches of a batch made by `prepare`, epoch after epoch, with noise of their own."""

    def targets(self, params: Params, extra: Extra, batch: Batch) -> tuple[Batch, Extra]:
        """The batch with targets that the parameters as they are now have a part in, and the extra state after that.

        It comes before every loss, and no gradient goes through it.
        """

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """One loss `[...]` (one per task) for each parameter group; deterministic and twice differentiable.

        A group without a loss stays as it is (an actor whose update is delayed); one of `inner_groups` always has one.
        The gradient that counts is that of a group's loss with respect to that group.
        """

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """Move target networks after a step."""


def begun_anew(algo: Algorithm, before: Extra, generator: torch.Generator) -> tuple[Params, Extra]:
    """Fresh parameters and extra state, with what was given to the policy `before`."""
    params, extra = algo.init(generator)
    return params, extra | {name: x for name, x in before.items() if name.startswith(GIVEN)}


def learnable(algo: Algorithm, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
    """All of a stacked rollout as a loss reads it: prepared, and with targets."""
    return algo.targets(params, extra, algo.prepare(params, extra, data, generator))[0]


class Prepared:
    """An algorithm whose batches have all targets once they are prepared."""

    def targets(self, params: Params, extra: Extra, batch: Batch) -> tuple[Batch, Extra]:
        """What was given."""
        return batch, extra


class Forgetful(Prepared):
    """An algorithm whose policies act on the newest observation alone."""

    def memory(self, width: int) -> dict[str, Tensor]:
        """Nothing."""
        return {}


def first_seen(spec: EnvSpec, obs: Tensor, mask: Tensor) -> Seen[Tensor]:
    """Observations `[..., B, O]` and masks `[..., B, M]` as what is seen when an episode begins."""
    lead = obs.shape[:-1]
    action = torch.zeros(*lead, spec.action_size, dtype=torch.int32 if spec.discrete else torch.float32)
    return Seen(obs, mask, obs.new_zeros(*lead, len(REWARD_TERMS)), action, torch.ones(lead, dtype=torch.bool))
