"""The one loop over environments: an actor plays. `drive` records what happens as rollouts.

Free of PyTorch, so that clients can watch a session without it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import REWARD_TERMS, Acted, Seen
from lwmecps_core.context.kept import terms_of
from lwmecps_core.rollout.actor import Actor, AnyArray, Memory
from lwmecps_core.specs import EnvSpec

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Seeds = NDArray[np.uint64]


class Environments(Protocol):
    """B environments; see `BatchEnv`. What a call returns may be overwritten by the next."""

    @property
    def spec(self) -> EnvSpec: ...

    def reset(self, seeds: Seeds) -> tuple[Floats, Bools]: ...

    def reset_where(self, which: Bools, seeds: Seeds) -> tuple[Floats, Bools]: ...

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]: ...


@dataclass(frozen=True, slots=True)
class Interval:
    """One interval of B environments: what was done, what came of it, and the frame that it led to.

    `valid` `[B]` is false where an episode was over before: there the interval only carried a reset, whatever the rest
    says. The arrays may be overwritten when the next interval is asked for.
    """

    acted: Acted[AnyArray]
    reward: Floats
    terminated: Bools
    truncated: Bools
    valid: Bools
    info: dict[str, Floats]
    obs: Floats
    mask: Bools


def play(
    env: Environments,
    actor: Actor,
    memory: Memory,
    frame: tuple[Floats, Bools],
    noise: Iterator[AnyArray | None],
    *,
    new_seeds: Callable[[], Seeds] | None = None,
    over: Bools | None = None,
) -> Iterator[Interval]:
    """Intervals from `frame` (observations, masks) on, one for every item of `noise` (None: the actor's best choice).

    Where an episode ends, the next interval carries a reset under `new_seeds`; without any, what follows is not valid.
    With `over` `[B]` the environments go on from an earlier rollout: it marks those whose episode has ended in `frame`.
    """
    obs, mask = frame
    size = len(obs)
    first = np.full(size, over is None)
    over = np.zeros(size, np.bool_) if over is None else over
    kind = np.int32 if env.spec.discrete else np.float32
    action: AnyArray = np.zeros((size, env.spec.action_size), kind)
    terms = np.zeros((size, len(REWARD_TERMS)), np.float32)
    for numbers in noise:
        acted = actor.act(memory, Seen(obs, mask, terms, action, first), numbers)
        memory, action = acted.memory, acted.action
        obs, mask, reward, terminated, truncated, info = env.step(action)
        terms = terms_of(info)
        valid, first = ~over, np.zeros(size, np.bool_)
        ended = (terminated | truncated) & valid
        if new_seeds is None:
            ended |= over
        elif over.any():
            info = {key: row.copy() for key, row in info.items()}  # a reset may write into what the step returned
            obs, mask = env.reset_where(over, new_seeds())
            first = over
            terms, action = np.where(over[:, None], 0, terms), np.where(over[:, None], 0, action)
        yield Interval(acted, reward, terminated, truncated, valid, info, obs, mask)
        over = ended
