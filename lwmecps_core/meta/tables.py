"""Small decision problems as tables, many side by side: what update rules are discovered on.

Oh et al. 2020 (arXiv:2007.08794, appendix A) use tabular worlds and chains, too; theirs are others.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tables:
    """K problems of S states and A choices: where a choice leads `follow` `[K, S, A, S]` (probabilities), what it pays
    `reward` `[K, S, A]`, which states end an episode once they are entered, `last` `[K, S]`, and where one begins,
    `first` `[K, S]` (probabilities).
    """

    follow: Tensor
    reward: Tensor
    last: Tensor
    first: Tensor


def random_worlds(tasks: int, states: int, choices: int, generator: torch.Generator) -> Tables:
    """Worlds whose choices lead to one of two states by chance and pay normal numbers; one state in five ends them."""
    follow = torch.zeros(tasks, states, choices, states)
    for _ in range(2):
        to = torch.randint(states, (tasks, states, choices, 1), generator=generator)
        follow.scatter_add_(-1, to, torch.full_like(to, 0.5, dtype=follow.dtype))
    reward = torch.randn(tasks, states, choices, generator=generator)
    last = torch.rand(tasks, states, generator=generator) < 0.2
    last[:, 0] = False
    return Tables(follow, reward, last, _at_first(tasks, states))


def chains(tasks: int, states: int, choices: int, generator: torch.Generator) -> Tables:
    """Chains along which one choice in each state leads on, the others back to the start; only the end pays, 1."""
    onwards = torch.randint(choices, (tasks, states), generator=generator)
    follow = torch.zeros(tasks, states, choices, states)
    follow[..., 0] = 1.0
    place = torch.arange(states)
    for task in range(tasks):
        follow[task, place, onwards[task]] = torch.eye(states)[(place + 1).clamp_max(states - 1)]
    reward, last = follow[..., states - 1].clone(), torch.zeros(tasks, states, dtype=torch.bool)
    last[:, -1] = True
    return Tables(follow, reward, last, _at_first(tasks, states))


def falling_balls(tasks: int, rows: int, columns: int, generator: torch.Generator) -> Tables:
    """Catch: a ball falls by a row, a paddle in the last one moves or stays; the last row pays 1 or −1.

    States are (row, ball, paddle) and one more, which a ball that came down leads to. Which choice moves where is
    drawn.
    """
    states = rows * columns * columns + 1
    follow, reward = torch.zeros(tasks, states, 3, states), torch.zeros(tasks, states, 3)
    follow[:, -1, :, -1] = 1.0
    for task in range(tasks):
        moves = torch.randperm(3, generator=generator) - 1
        for state in range(states - 1):
            row, ball, paddle = state // columns**2, state // columns % columns, state % columns
            for choice in range(3):
                there = int((paddle + moves[choice]).clamp(0, columns - 1))
                down = row == rows - 1
                follow[task, state, choice, -1 if down else ((row + 1) * columns + ball) * columns + there] = 1.0
                reward[task, state, choice] = (1.0 if there == ball else -1.0) * down
    first = torch.zeros(tasks, states)
    first[:, columns // 2 : columns**2 : columns] = 1.0 / columns
    last = torch.zeros(tasks, states, dtype=torch.bool)
    last[:, -1] = True
    return Tables(follow, reward, last, first)


def play(tables: Tables, logits: Tensor, state: Tensor, steps: int, generator: torch.Generator) -> dict[str, Tensor]:
    """`steps` steps of policies `[K, S, A]` from states `[K, N]` on: states `[K, T+1, N]`, actions, rewards and ends
    `[K, T, N]`. After an end the next state is a first one. Where logits diverged the choice is by chance.
    """
    tasks, copies = state.shape
    policy, task = logits.nan_to_num(0.0, 1e9, -1e9).softmax(-1), torch.arange(tasks).unsqueeze(-1)
    seen, found = [state], []
    for _ in range(steps):
        action = torch.multinomial(policy[task, state].flatten(0, 1), 1, generator=generator).reshape(tasks, copies)
        onwards = torch.multinomial(tables.follow[task, state, action].flatten(0, 1), 1, generator=generator)
        onwards = onwards.reshape(tasks, copies)
        ended = tables.last[task, onwards]
        anew = torch.multinomial(tables.first, copies, replacement=True, generator=generator)
        found.append((action, tables.reward[task, state, action], ended))
        state = torch.where(ended, anew, onwards)
        seen.append(state)
    action, reward, ended = (torch.stack(x, 1) for x in zip(*found, strict=True))
    return {"state": torch.stack(seen, 1), "action": action, "reward": reward, "ended": ended}


def worth(tables: Tables, policy: Tensor, discount: float) -> Tensor:
    """What an episode of policies `[K, S, A]` (probabilities) is to earn, exactly and with a gradient: `[K]`."""
    return (tables.first * _values(tables, policy, discount)).sum(-1)


def most(tables: Tables, discount: float, improvements: int = 8) -> Tensor:
    """What the best policies are to earn, `[K]`, by so many improvements of chance (Howard 1960)."""
    policy = torch.full_like(tables.reward, 1 / tables.reward.shape[-1])
    for _ in range(improvements):
        alive = _values(tables, policy, discount).masked_fill(tables.last, 0.0)
        by_choice = tables.reward + discount * torch.einsum("ksat,kt->ksa", tables.follow, alive)
        policy = torch.nn.functional.one_hot(by_choice.argmax(-1), by_choice.shape[-1]).to(by_choice.dtype)
    return worth(tables, policy, discount)


def _values(tables: Tables, policy: Tensor, discount: float) -> Tensor:
    onwards = torch.einsum("ksa,ksat->kst", policy, tables.follow)
    onwards = onwards.masked_fill(tables.last.unsqueeze(-2), 0.0)
    earned = (policy * tables.reward).sum(-1)
    left = torch.eye(onwards.shape[-1], dtype=onwards.dtype) - discount * onwards
    found: Tensor = torch.linalg.solve(left, earned)
    return found


def _at_first(tasks: int, states: int) -> Tensor:
    return torch.eye(states)[0].expand(tasks, states)
