"""Linear systems known by their products alone, one for each task, side by side."""

from collections.abc import Callable

import torch
from torch import Tensor


def gmres(product: Callable[[Tensor], Tensor], goal: Tensor, steps: int) -> Tensor:
    """Solve A x = `goal` by at most `steps` iterations from x = `goal` on; `[K, n]`, systems of one task each.

    GMRES and not conjugate gradients, because A need not be symmetric (a critic's gradient feels its actor and an
    actor's its critic, unequally) and because it needs products with A alone, where conjugate gradients on the normal
    equations also need those with Aᵀ and square the condition number; where A is symmetric both search the same space.

    A guard: the implicit function theorem holds where descent would settle, that is where all eigenvalues of A have
    positive real parts. A task whose eigenvalues as seen on the space searched so far (Ritz values) don't, keeps the
    solution of the largest space on which they do; if that is none, `goal` itself.

    Source: Saad and Schultz 1986, SIAM J. Sci. Stat. Comput. 7(3), algorithm 3 (here from x = `goal`).
    """
    tasks, size = goal.shape
    rest = goal - product(goal)
    length = rest.norm(dim=1)
    basis = goal.new_zeros(tasks, steps + 1, size)
    basis[:, 0] = _unit(rest, length)
    hessenberg = goal.new_zeros(tasks, steps + 1, steps)
    best = goal
    for j in range(steps):
        seen = basis[:, : j + 1]
        new = product(basis[:, j])
        scale = new.norm(dim=1)
        for _ in range(2):  # once is not orthogonal to rounding error, twice is
            along = torch.einsum("kjn,kn->kj", seen, new)
            new = new - torch.einsum("kj,kjn->kn", along, seen)
            hessenberg[:, : j + 1, j] += along
        left = new.norm(dim=1)
        left = torch.where(left > 100 * torch.finfo(goal.dtype).eps * scale, left, 0.0)  # else rounding: all is found
        basis[:, j + 1] = _unit(new, left)
        hessenberg[:, j + 1, j] = left
        tall = hessenberg[:, : j + 2, : j + 1]
        # A task that diverged keeps `goal` and must not stop the others, also where its goal is no number already.
        known = length.isfinite() & tall.isfinite().all(-1).all(-1)
        tall = torch.where(known[:, None, None], tall, 0.0)
        settles = known & (torch.linalg.eigvals(tall[:, :-1]).real.amin(-1) > 0)
        target = goal.new_zeros(tasks, j + 2, 1)
        target[:, 0, 0] = torch.where(known, length, 0.0)
        spare = torch.eye(j + 2, j + 1, dtype=tall.dtype) * (tall == 0).all(-2, keepdim=True)  # nothing new was found
        # QR alone needs full rank; the default driver starts from a permutation that PyTorch leaves uninitialised.
        share = torch.linalg.lstsq(tall + spare, target, driver="gels").solution.squeeze(-1)
        best = torch.where(settles.unsqueeze(-1), goal + torch.einsum("kj,kjn->kn", share, seen), best)
    return best


def _unit(x: Tensor, length: Tensor) -> Tensor:
    """`x` `[K, n]` divided by `length` `[K]`, or zero where that is zero."""
    long = length.unsqueeze(-1)
    return torch.where(long > 0, x / torch.where(long > 0, long, 1.0), 0.0)
