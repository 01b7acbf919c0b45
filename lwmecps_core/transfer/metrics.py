"""How transfer is judged: two learning curves on the same tasks, with transfer and from nothing, and weights.

A curve is the reward of an episode in every batch that a policy learnt from, before it learnt from it: `curve[j]` is
the policy's after j batches.
"""

from collections.abc import Sequence

import numpy as np

from lwmecps_core.algorithms.base import Params
from lwmecps_core.tree import global_norm, tree_map

LAST_SHARE = 4
"""The last quarter of a curve says what it ends at: one batch alone is too noisy."""


def jump_start(transferred: Sequence[float], scratch: Sequence[float]) -> float:
    """Reward at the start, before anything is learnt of the target: with transfer minus from nothing.

    Source: "jumpstart" of Taylor and Stone 2009, Journal of Machine Learning Research 10, 1633–1685, section 2.1.
    """
    return transferred[0] - scratch[0]


def area_ratio(transferred: Sequence[float], scratch: Sequence[float]) -> float:
    """(area under the curve with transfer − area under that from nothing) / |area under that from nothing|.

    Positive when transfer helps, whatever the sign of rewards: where they are costs, the published ratio, which divides
    by the area itself, would turn its sign. It is not invariant to a constant added to all rewards. Both curves have
    the same length.

    Source: "transfer ratio" of Taylor and Stone 2009, Journal of Machine Learning Research 10, 1633–1685, section 2.1.
    """
    with_transfer, without = np.sum(transferred), np.sum(scratch)
    return float((with_transfer - without) / max(abs(without), 1e-9))


def transfer_metric(transferred: Sequence[float], scratch: Sequence[float]) -> float:
    """The one number for transfer: `area_ratio`.

    The area takes in where learning starts, how fast it goes and where it ends, and it averages over all batches, while
    jump-start rests on the first one alone and time to threshold on the batches around the threshold.
    """
    return area_ratio(transferred, scratch)


def asymptote(curve: Sequence[float]) -> float:
    """What a curve ends at: the mean of its last quarter, at least of its last point.

    Source: "asymptotic performance" of Taylor and Stone 2009, Journal of Machine Learning Research 10, section 2.1.
    """
    return float(np.mean(curve[-max(1, len(curve) // LAST_SHARE) :]))


def time_to_threshold(curve: Sequence[float], threshold: float) -> float:
    """How many batches are learnt from until an episode's reward is first at least `threshold`.

    The curve's length where that never happens: it took at least so long.

    Source: "time to threshold" of Taylor and Stone 2009, Journal of Machine Learning Research 10, section 2.1.
    """
    return float(next((j for j, reward in enumerate(curve) if reward >= threshold), len(curve)))


def against_scratch(transferred: Sequence[float], scratch: Sequence[float]) -> dict[str, float]:
    """All metrics that compare the two curves; the threshold is what training from nothing ends at (`asymptote`)."""
    threshold = asymptote(scratch)
    return {
        "jump_start": jump_start(transferred, scratch),
        "transfer_metric": transfer_metric(transferred, scratch),
        "time_to_threshold": time_to_threshold(transferred, threshold),
        "scratch_time_to_threshold": time_to_threshold(scratch, threshold),
    }


def adaptation_speed(curve: Sequence[float], steps: int | None = None) -> float:
    """Mean gain of reward per step of learning, from the first point of a curve to its last; 0 for a single point.

    There are `steps` between the two, by default one between neighbouring points.
    """
    return (curve[-1] - curve[0]) / max(1, len(curve) - 1 if steps is None else steps)


def parameter_distance(params: Params, source: Params) -> dict[str, float]:
    """How far weights lie from the source's: ‖θ − θ₀‖ over all parameters, and relative to ‖θ₀‖."""
    moved = float(global_norm(tree_map(lambda a, b: a - b, source, params)))
    return {"parameter_distance": moved, "relative_parameter_distance": moved / max(float(global_norm(source)), 1e-9)}
