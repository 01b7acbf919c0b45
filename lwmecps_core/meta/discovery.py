"""Agents that are tables, and one differentiable update of them by a rule: what a rule is discovered through.

The meta-network is that of `algorithms.disco.rule` in any size, so what is discovered is a file for `--algorithm
disco`.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lwmecps_core.algorithms.disco.agent import CATCHES_UP
from lwmecps_core.algorithms.disco.loss import VALUE_WEIGHT
from lwmecps_core.algorithms.disco.rule import DISCOUNT, Life, Rule, Trajectory, nothing_kept, targets
from lwmecps_core.tree import Tree, tree_map


@dataclass(frozen=True)
class Lives:
    """K agents, tables over states (`logits` and `q` `[K, S, A]`, `y` `[K, S, P]`, `z` `[K, S, A, P]`); their slower
    copies, and what the rule keeps of each.
    """

    agents: Tree
    slow: Tree
    kept: Life


def newborn(rule: Rule, tasks: int, states: int, choices: int) -> Lives:
    """Agents that know nothing: all tables are zeros."""
    size = rule["lstm/linear_2/b"].shape[-1]
    zeros = rule["lstm/linear_2/b"].new_zeros
    tables = {
        "logits": zeros(tasks, states, choices),
        "y": zeros(tasks, states, size),
        "z": zeros(tasks, states, choices, size),
        "q": zeros(tasks, states, choices),
    }
    kept = Life(*(x.expand(tasks, *x.shape) for x in vars(nothing_kept(rule)).values()))
    agents = {"agent": tables}
    return Lives(agents, tree_map(lambda x: x.clone(), agents), kept)


def updated(rule: Rule, lives: Lives, data: dict[str, Tensor], rate: float, discount: float = DISCOUNT) -> Lives:
    """The agents after one step of plain descent, bounded in each state, towards the rule's targets on `tables.play`'s
    `data`, with a graph that leads to the rule's weights and to the agents before.

    The gradient of a divergence, of logits, is the difference of both distributions; so no graph is differentiated
    twice.
    """
    seen = trajectory(lives, data)
    goal, kept = targets(rule, lives.kept, seen, discount)
    own, action = lives.agents["agent"], data["action"]
    choices = own["q"].shape[-1]
    where = _places(data["state"][:, :-1], own["q"].shape[1])
    z, q = (_taken(x[:, :-1], action).squeeze(3) for x in (seen.z, seen.q))
    pulls = {
        "logits": (where, seen.logits[:, :-1].softmax(-1) - goal.pi.softmax(-1)),
        "y": (where, seen.y[:, :-1].softmax(-1) - goal.y.softmax(-1)),
        "z": (where * choices + action, z.softmax(-1) - goal.z.softmax(-1)),
        "q": (where * choices + action, VALUE_WEIGHT * (q - goal.q)),
    }
    weight = rate * own["q"].shape[1] / action[0].numel()
    agents = {"agent": {name: _moved(own[name], *pull, weight) for name, pull in pulls.items()}}
    return Lives(agents, tree_map(lambda x, y: torch.lerp(x, y.detach(), CATCHES_UP), lives.slow, lives.agents), kept)


def severed(lives: Lives) -> Lives:
    """The same lives without a graph: where one window of updates ends and the next begins."""
    kept = Life(*(x.detach() for x in vars(lives.kept).values()))
    return replace(lives, agents=tree_map(lambda x: x.detach(), lives.agents), kept=kept)


def trajectory(lives: Lives, data: dict[str, Tensor]) -> Trajectory:
    """What a rule is shown of agents' data."""
    own, slow = (_said(tree, data["state"]) for tree in (lives.agents, lives.slow))
    return Trajectory(
        **own,
        **{f"slow_{name}": x for name, x in slow.items()},
        allowed=torch.ones_like(own["logits"], dtype=torch.bool),
        action=data["action"],
        behaviour=own["logits"][:, :-1].detach(),
        reward=data["reward"],
        ended=data["ended"],
    )


def _said(agents: Tree, state: Tensor) -> dict[str, Tensor]:
    """What tables hold of states `[K, T, N]`: name → `[K, T, N, ...]`."""
    tables = agents["agent"]
    where = _places(state, tables["q"].shape[1]).flatten()
    return {n: x.flatten(0, 1).index_select(0, where).reshape(*state.shape, *x.shape[2:]) for n, x in tables.items()}


def _places(state: Tensor, states: int) -> Tensor:
    """Rows of states `[K, ...]` where all agents' tables lie below one another."""
    return state + states * torch.arange(len(state)).reshape(-1, *[1] * (state.dim() - 1))


def _moved(table: Tensor, where: Tensor, pull: Tensor, weight: float) -> Tensor:
    """A table less `weight` of pulls `[K, T, N, ...]` from the rows that they belong to, or less the mean of a row's
    pulls where these weigh more than 1 together: further a row would leap beyond its targets.
    """
    size, rows = pull.shape[where.dim() :], where.flatten()
    total = table.new_zeros(table.numel() // size.numel(), 1)
    total = total.index_add(0, rows, total.new_full((len(rows), 1), weight)).clamp_min(1.0)
    share = (weight / total)[rows] * pull.reshape(len(rows), -1)
    return table.reshape(len(total), -1).index_add(0, rows, share, alpha=-1.0).view_as(table)


def _taken(x: Tensor, action: Tensor) -> Tensor:
    """Of each choice's numbers `[K, T, N, A, ...]` those of the one taken, `[K, T, N, 1, ...]`."""
    index = action.reshape(*action.shape, *[1] * (x.dim() - action.dim()))
    return x.gather(3, index.expand(*action.shape, 1, *x.shape[4:]))
