"""Agents that are tables, and one differentiable update of them by a rule: what a rule is discovered through.

The meta-network is that of `algorithms.disco.rule` in any size, so what is discovered is a file for `--algorithm
disco`.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lwmecps_core.algorithms.disco.agent import CATCHES_UP
from lwmecps_core.algorithms.disco.loss import VALUE_WEIGHT, divergence
from lwmecps_core.algorithms.disco.rule import Life, Rule, Trajectory, nothing_kept, targets
from lwmecps_core.tree import Tree, leaves, tree_map, with_leaves


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


def updated(rule: Rule, lives: Lives, data: dict[str, Tensor], rate: float) -> Lives:
    """The agents after one step of plain descent towards the rule's targets on `tables.play`'s `data`, with a graph
    that leads to the rule's weights and to the agents before.
    """
    shared = {name: x.expand(len(data["action"]), *x.shape) for name, x in rule.items()}
    seen = _trajectory(lives, data)
    goal, kept = targets(shared, lives.kept, seen)
    # Tables of their own, so that a step takes the targets as given, though these depend on the agents as well.
    live = tree_map(lambda x: x.clone() if x.requires_grad else x.clone().requires_grad_(), lives.agents)
    said = _said(live, data["state"][:, :-1])
    z, q = (_taken(said[name], data["action"]) for name in ("z", "q"))
    by_step = divergence(goal.pi, said["logits"]) + divergence(goal.y, said["y"]) + divergence(goal.z, z.squeeze(-2))
    by_step = by_step + VALUE_WEIGHT * 0.5 * (q.squeeze(-1) - goal.q).square()
    loss = by_step.mean((-2, -1)).sum() * live["agent"]["q"].shape[1]
    pulls = torch.autograd.grad(loss, leaves(live), create_graph=True)
    agents = with_leaves(live, (x - rate * pull for x, pull in zip(leaves(lives.agents), pulls, strict=True)))
    return Lives(agents, tree_map(lambda x, y: torch.lerp(x, y.detach(), CATCHES_UP), lives.slow, lives.agents), kept)


def gain(lives: Lives, data: dict[str, Tensor], discount: float) -> Tensor:
    """What a step of policy gradient on an agent's own `data` would raise: `[K]`; its gradient is that of the return.

    Returns are the data's own, to the end of the rollout, less their mean (Williams 1992); Oh et al. 2020
    (arXiv:2007.08794, equation 3) descend the same through agents whose values they learn.
    """
    reward, alive = data["reward"], 1 - data["ended"].to(data["reward"].dtype)
    later, found = torch.zeros_like(reward[:, 0]), []
    for t in range(reward.shape[1] - 1, -1, -1):
        later = reward[:, t] + discount * alive[:, t] * later
        found.append(later)
    earned = torch.stack(found[::-1], 1)
    better = earned - earned.mean((-2, -1), keepdim=True)
    policy = _said(lives.agents, data["state"][:, :-1])["logits"].log_softmax(-1)
    return (_taken(policy, data["action"]).squeeze(-1) * better).mean((-2, -1))


def severed(lives: Lives) -> Lives:
    """The same lives without a graph: where one window of updates ends and the next begins."""
    kept = Life(*(x.detach() for x in vars(lives.kept).values()))
    return replace(lives, agents=tree_map(lambda x: x.detach(), lives.agents), kept=kept)


def _trajectory(lives: Lives, data: dict[str, Tensor]) -> Trajectory:
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
    task = torch.arange(len(state)).reshape(-1, 1, 1)
    return {name: table[task, state] for name, table in agents["agent"].items()}


def _taken(x: Tensor, action: Tensor) -> Tensor:
    """Of each choice's numbers `[K, T, N, A, ...]` those of the one taken, `[K, T, N, 1, ...]`."""
    index = action.reshape(*action.shape, *[1] * (x.dim() - action.dim()))
    return x.gather(3, index.expand(*action.shape, 1, *x.shape[4:]))
