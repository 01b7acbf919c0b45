"""The measures of a stream of clusters, against the papers' sums written out, by hand, and in cases that are known."""

from itertools import product

import numpy as np
import pytest

from lwmecps_core.forgetting import matrix, measures
from lwmecps_core.results import Row

BY_HAND = np.array([[-8.0, -6.0, -4.0], [-2.0, -7.0, -5.0], [-5.0, -1.0, -4.5], [-3.0, -2.5, -1.5]])
"""Three clusters: rows are after 0, 1, 2 and 3 of them."""


def test_measures_by_hand() -> None:
    assert measures(BY_HAND, 0) == {"coming_reward": -6.0}
    assert measures(BY_HAND, 1) == {"average_reward": -2.0, "learnt_reward": -2.0, "coming_reward": -6.0}
    assert measures(BY_HAND, 2) == {
        "average_reward": -3.0,
        "learnt_reward": -1.5,
        "coming_reward": -4.5,
        "backward_transfer": -3.0,  # −5 − (−2)
        "forgetting": 3.0,
        "forward_transfer": -1.0,  # −7 − (−6)
    }
    last = measures(BY_HAND, 3)
    assert last["average_reward"] == pytest.approx(-7 / 3) and "coming_reward" not in last
    assert last["backward_transfer"] == pytest.approx(((-3 + 2) + (-2.5 + 1)) / 2)
    assert last["forgetting"] == pytest.approx(((-2 + 3) + (-1 + 2.5)) / 2)
    assert last["forward_transfer"] == pytest.approx(((-7 + 6) + (-4.5 + 4)) / 2)


def test_measures_are_the_papers_sums() -> None:
    """Tasks from 1, as they write them: R[i][j] after i tasks on task j; b[j] before any."""
    total = 5
    r = np.random.default_rng(0).normal(size=(total + 1, total))
    R = {(i, j): r[i, j - 1] for i, j in product(range(total + 1), range(1, total + 1))}
    found = measures(r, total)
    assert found["average_reward"] == pytest.approx(sum(R[total, i] for i in range(1, total + 1)) / total)
    bwt = sum(R[total, i] - R[i, i] for i in range(1, total)) / (total - 1)
    fwt = sum(R[i - 1, i] - R[0, i] for i in range(2, total + 1)) / (total - 1)
    lost = sum(max(R[i, j] for i in range(1, total)) - R[total, j] for j in range(1, total)) / (total - 1)
    assert found["backward_transfer"] == pytest.approx(bwt)
    assert found["forward_transfer"] == pytest.approx(fwt)
    assert found["forgetting"] == pytest.approx(lost)


def test_what_holds_of_all_matrices() -> None:
    r = np.random.default_rng(1).normal(size=(8, 7))
    for met in range(2, 8):
        found = measures(r, met)
        later = (met - 1) / met * found["backward_transfer"]
        assert found["average_reward"] == pytest.approx(found["learnt_reward"] + later)
        assert found["forgetting"] >= -found["backward_transfer"] - 1e-12  # the best is no less than the own turn's
        assert measures(r[: met + 1], met) == found  # what comes later changes nothing
        moved = measures(r + 10.0, met)
        assert all(moved[n] == pytest.approx(found[n]) for n in ("backward_transfer", "forgetting", "forward_transfer"))


def test_a_policy_that_never_changes_neither_forgets_nor_transfers() -> None:
    found = measures(np.tile([-1.0, -2.0, -3.0], (4, 1)), 3)
    assert found["average_reward"] == found["learnt_reward"] == -2.0
    assert found["backward_transfer"] == found["forgetting"] == found["forward_transfer"] == 0.0


def _row(task: str, met: int, reward: float) -> Row:
    return Row(task, "continual", met, reward, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_rows_are_the_matrix_as_far_as_it_goes() -> None:
    rows = [_row(task, met, float(BY_HAND[met, j])) for met in range(4) for j, task in enumerate("cab")]
    tasks, r = matrix(rows)
    assert tasks == ["c", "a", "b"] and np.array_equal(r, BY_HAND)
    assert np.array_equal(matrix(rows[:8])[1], BY_HAND[:2])  # of a run that goes on
    tasks, r = matrix([])
    assert not tasks and r.shape == (0, 0)
