"""What a policy that meets clusters one after another keeps and gains: the matrix R, and what is read off it.

`R[i, j]` is the reward of an episode on cluster j (from 0) after i clusters were met; row 0 is the policy that the
stream began with. Rewards have no common scale, so that all measures are in rewards, not in shares.

Source: Lopez-Paz and Ranzato 2017, arXiv:1706.08840, section 2 (average, backward and forward transfer; its b is our
row 0); Chaudhry et al. 2018, arXiv:1801.10112, section 3 (forgetting).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lwmecps_core.results import Row

Matrix = NDArray[np.float64]


def average_reward(r: Matrix, met: int) -> float:
    """Mean over the clusters met so far, after the newest."""
    return float(r[met, :met].mean())


def learnt_reward(r: Matrix, met: int) -> float:
    """Mean over the clusters met so far, of each right after its own turn."""
    return float(_after_own_turn(r, met).mean())


def coming_reward(r: Matrix, met: int) -> float:
    """Mean over the clusters that are to come."""
    return float(r[met, met:].mean())


def backward_transfer(r: Matrix, met: int) -> float:
    """What was gained on earlier clusters since their own turns, mean over them; negative: lost."""
    return float((r[met, : met - 1] - _after_own_turn(r, met)[:-1]).mean())


def forgetting(r: Matrix, met: int) -> float:
    """What earlier clusters lack to the best that was had there after any cluster before the newest, mean over them."""
    return float((r[1:met, : met - 1].max(0) - r[met, : met - 1]).mean())


def forward_transfer(r: Matrix, met: int) -> float:
    """What the clusters before it had gained on each but the first, right before its own turn, mean over them."""
    before = np.diagonal(r)[1:met]
    return float((before - r[0, 1:met]).mean())


def measures(r: ArrayLike, met: int) -> dict[str, float]:
    """All of these after `met` clusters, by name, of `R` `[≥ met + 1, T]`: those that there are yet, or still."""
    r = np.asarray(r, np.float64)
    found: dict[str, float] = {}
    if met:
        found |= {f.__name__: f(r, met) for f in (average_reward, learnt_reward)}
    if met < r.shape[1]:
        found |= {coming_reward.__name__: coming_reward(r, met)}
    if met > 1:
        found |= {f.__name__: f(r, met) for f in (backward_transfer, forgetting, forward_transfer)}
    return found


def matrix(rows: Sequence[Row]) -> tuple[list[str], Matrix]:
    """The clusters in the order of the stream, and R as far as it goes `[≤ T + 1, T]`, of one run's rows.

    `inner_steps` of a row says how many clusters were met. A row of R that is not whole yet is left out.
    """
    reward = {(row.inner_steps, row.task): row.reward for row in rows}
    tasks = list(dict.fromkeys(row.task for row in rows if row.inner_steps == 0))
    whole: list[list[float]] = []
    while tasks and all((len(whole), task) in reward for task in tasks):
        whole.append([reward[len(whole), task] for task in tasks])
    return tasks, np.array(whole, np.float64).reshape(len(whole), len(tasks))


def _after_own_turn(r: Matrix, met: int) -> Matrix:
    own: Matrix = np.diagonal(r, -1)[:met]
    return own
