"""Metrics of transfer on curves made by hand."""

import pytest
import torch

from lwmecps_core.transfer import metrics

SCRATCH = [-10.0, -8.0, -6.0, -4.0]
TRANSFERRED = [-6.0, -5.0, -4.0, -3.0]


def test_jump_start_is_the_gain_before_anything_is_learnt() -> None:
    assert metrics.jump_start(TRANSFERRED, SCRATCH) == 4.0


def test_area_ratio_is_positive_when_transfer_helps_whatever_the_sign_of_rewards() -> None:
    assert metrics.area_ratio(TRANSFERRED, SCRATCH) == pytest.approx(10 / 28)
    assert metrics.area_ratio([3.0, 5.0], [1.0, 3.0]) == pytest.approx(1.0)
    assert metrics.area_ratio([1.0, 3.0], [3.0, 5.0]) == pytest.approx(-0.5)
    assert metrics.area_ratio(SCRATCH, SCRATCH) == 0.0


def test_time_to_threshold_counts_batches_and_is_the_curves_length_where_it_is_never_reached() -> None:
    assert metrics.time_to_threshold(TRANSFERRED, -4.0) == 2.0
    assert metrics.time_to_threshold(SCRATCH, -4.0) == 3.0
    assert metrics.time_to_threshold(SCRATCH, -20.0) == 0.0
    assert metrics.time_to_threshold(SCRATCH, 0.0) == 4.0


def test_a_curve_ends_at_the_mean_of_its_last_quarter() -> None:
    assert metrics.asymptote(SCRATCH) == -4.0
    assert metrics.asymptote([0.0] * 6 + [2.0, 4.0]) == 3.0
    assert metrics.asymptote([5.0]) == 5.0


def test_the_comparison_takes_what_training_from_nothing_ends_at_as_threshold() -> None:
    assert metrics.against_scratch(TRANSFERRED, SCRATCH) == {
        "jump_start": 4.0,
        "transfer_metric": pytest.approx(10 / 28),
        "time_to_threshold": 2.0,
        "scratch_time_to_threshold": 3.0,
    }


def test_adaptation_speed_is_the_mean_gain_per_batch() -> None:
    assert metrics.adaptation_speed(SCRATCH) == 2.0
    assert metrics.adaptation_speed([7.0]) == 0.0


def test_parameter_distance_is_euclidean_over_all_groups() -> None:
    source = {"actor": {"w": torch.tensor([3.0, 0.0])}, "critic": {"b": torch.tensor([4.0])}}
    moved = {"actor": {"w": torch.tensor([3.0, 6.0])}, "critic": {"b": torch.tensor([12.0])}}
    assert metrics.parameter_distance(moved, source) == {"parameter_distance": 10.0, "relative_parameter_distance": 2.0}
    assert metrics.parameter_distance(source, source)["parameter_distance"] == 0.0
