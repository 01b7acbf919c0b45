"""Pure functions over parameter trees (group → name → tensor) and their flat form for files and checkpoints."""

from collections.abc import Callable, Collection, Iterable, Mapping

import torch
from torch import Tensor

Tree = dict[str, dict[str, Tensor]]


def tree_map(function: Callable[..., Tensor], *trees: Tree) -> Tree:
    """Apply `function` leaf by leaf to trees of one structure."""
    first = trees[0]
    return {g: {n: function(*(t[g][n] for t in trees)) for n in leaves} for g, leaves in first.items()}


def leaves(tree: Tree) -> list[Tensor]:
    """All tensors, in the order of the tree."""
    return [leaf for group in tree.values() for leaf in group.values()]


def with_leaves(tree: Tree, values: Iterable[Tensor]) -> Tree:
    """A tree of the same structure with other tensors."""
    it = iter(values)
    return {g: {n: next(it) for n in names} for g, names in tree.items()}


def detached(tree: Tree) -> Tree:
    """The same values outside every autograd graph (copies)."""
    return tree_map(lambda leaf: leaf.detach().clone(), tree)


def expanded(tree: Tree, tasks: int) -> Tree:
    """Every leaf `[...]` seen as `[tasks, ...]`, without copying; gradients add up over tasks."""
    return tree_map(lambda leaf: leaf.expand(tasks, *leaf.shape), tree)


def expanded_extra(extra: dict[str, Tensor], tasks: int) -> dict[str, Tensor]:
    """Like `expanded`, for the flat dict of an algorithm's extra state."""
    return {name: x.unsqueeze(0).expand(tasks, *x.shape) for name, x in extra.items()}


def completed(tree: Tree, like: Tree) -> Tree:
    """The groups of `like` in their order, zeros for those that `tree` lacks."""
    return {g: tree[g] if g in tree else {n: torch.zeros_like(x) for n, x in like[g].items()} for g in like}


def by_task(values: Tensor, leaf: Tensor) -> Tensor:
    """One value for each task `[K]`, shaped so that it meets a leaf `[K, ...]`."""
    return values.reshape(-1, *[1] * (leaf.dim() - 1))


def row(tree: Tree, task: int) -> Tree:
    """The tree of one task out of a tree with a leading task axis: views, outside every autograd graph."""
    return tree_map(lambda leaf: leaf.detach()[task], tree)


def global_norm(tree: Tree) -> Tensor:
    """Euclidean norm over all leaves: a scalar."""
    return torch.sqrt(sum((leaf.double().pow(2).sum() for leaf in leaves(tree)), torch.zeros((), dtype=torch.float64)))


def norm_by_task(tree: Tree) -> Tensor:
    """Euclidean norm per task of a tree with a leading task axis: `[K]`."""
    norms: Tensor = torch.linalg.vector_norm(torch.cat([leaf.flatten(1) for leaf in leaves(tree)], 1), dim=1)
    return norms


def prefixed(named: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The same entries under names that begin with `prefix`."""
    return {prefix + name: leaf for name, leaf in named.items()}


def under(flat: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Inverse of `prefixed`: the entries whose names begin with `prefix`."""
    return {name.removeprefix(prefix): leaf for name, leaf in flat.items() if name.startswith(prefix)}


def flatten(tree: Tree, prefix: str) -> dict[str, Tensor]:
    """Flat `prefix/group/name` → tensor; groups may hold slashes, names must not."""
    return {f"{prefix}/{g}/{n}": leaf for g, group in tree.items() for n, leaf in group.items()}


def unflatten(flat: Mapping[str, Tensor], prefix: str) -> Tree:
    """Inverse of `flatten`: takes the entries under `prefix`."""
    tree: Tree = {}
    for key, leaf in under(flat, prefix + "/").items():
        group, name = key.rsplit("/", 1)
        tree.setdefault(group, {})[name] = leaf
    return tree


def gradients(
    losses: dict[str, Tensor],
    params: Tree,
    groups: Collection[str] | None = None,
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> Tree:
    """Each group's gradient of its own loss, summed over tasks (they share no parameters), where it has one."""
    wanted = [group for group in params if group in losses and (groups is None or group in groups)]
    result: Tree = {}
    for group in wanted:
        names = params[group]
        keep = create_graph or retain_graph or group != wanted[-1]  # the graph is freed with the last group
        grads = torch.autograd.grad(
            losses[group].sum(), list(names.values()), create_graph=create_graph, retain_graph=keep
        )
        result[group] = dict(zip(names, grads, strict=True))
    return result
