"""Proposals: the Gaussian process against closed forms, what is alike, and what is refused."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from lwmecps_core.choosing import family
from lwmecps_core.choosing.proposing import (
    Past,
    coded,
    covariance,
    evidence,
    flat,
    likenesses,
    posterior,
    propose,
    standardised,
    unflat,
    usable,
)
from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig, SACConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution

RNG = np.random.default_rng(0)


def test_the_posterior_is_that_of_the_joint_normal_distribution() -> None:
    x, c, z, noise = RNG.normal(size=(7, 2)), RNG.normal(size=(7, 3)), RNG.normal(size=5), 0.2
    every = covariance(x, c, (noise, 0.7, 1.3)) - noise * np.eye(7)
    mean, cov = posterior(every, 5, noise, z)
    inverse = np.linalg.inv(every[:5, :5] + noise * np.eye(5))
    np.testing.assert_allclose(mean, every[5:, :5] @ inverse @ z, atol=1e-12)
    np.testing.assert_allclose(cov, every[5:, 5:] - every[5:, :5] @ inverse @ every[:5, 5:], atol=1e-12)


def test_the_covariance_and_the_evidence_are_those_of_plain_loops() -> None:
    x, c, z, (noise, width, reach) = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 3)), RNG.normal(size=5), (0.1, 0.5, 2)
    slow = np.empty((5, 5))
    for i in range(5):
        for j in range(5):
            settings = math.exp(-sum((a - b) ** 2 for a, b in zip(x[i], x[j], strict=True)) / (2 * width**2))
            families = math.exp(-sum((a - b) ** 2 for a, b in zip(c[i], c[j], strict=True)) / (2 * reach**2))
            slow[i, j] = (1 - noise) * settings * families + (noise if i == j else 0.0)
    found = covariance(x, c, (noise, width, reach))
    np.testing.assert_allclose(found, slow, atol=1e-9)
    assert evidence(found, z) == pytest.approx(multivariate_normal(np.zeros(5), slow).logpdf(z))


def test_settings_are_compared_on_the_scale_that_they_vary_on() -> None:
    rate = coded([{"a": 1e-4}, {"a": 1e-3}, {"a": 1e-2}])
    np.testing.assert_allclose(rate, [[0.0], [0.5], [1.0]])
    discount = coded([{"a": 0.9}, {"a": 0.99}, {"a": 0.999}])
    np.testing.assert_allclose(discount, [[0.0], [0.5], [1.0]])
    np.testing.assert_allclose(coded([{"a": 2}, {"a": 3}, {"a": 4}]), [[0.0], [0.5], [1.0]])
    assert coded([{"a": 1.0, "b": "x"}, {"a": 1.0, "b": "x"}]).shape == (2, 0)


def test_any_two_names_are_1_apart_and_so_is_what_only_others_have() -> None:
    names = coded([{"a": "ppo"}, {"a": "sac"}, {"a": "td3"}])
    apart = np.linalg.norm(names[:, None] - names[None], axis=-1)
    np.testing.assert_allclose(apart, 1.0 - np.eye(3), atol=1e-12)
    some = coded([{"a": 0.1}, {"a": 0.2}, {}, {"a": None}])
    assert np.linalg.norm(some[2] - some[3]) == pytest.approx(1.0)
    assert np.linalg.norm(some[0] - some[1]) == pytest.approx(1.0)  # both ends of the range
    assert np.linalg.norm(some[0] - some[2]) == pytest.approx((0.25 + 1.0) ** 0.5)
    flags = coded([{"a": True}, {"a": False}])
    assert np.linalg.norm(flags[0] - flags[1]) == pytest.approx(1.0)


def test_rewards_are_compared_within_their_family() -> None:
    runs = [Past("a", {}, x) for x in (1.0, 3.0)] + [Past("b", {}, x) for x in (-100.0, -300.0)]
    np.testing.assert_allclose(standardised(runs), [-1.0, 1.0, 1.0, -1.0])


BEST = {"near": 1e-3, "nearer": 1e-3, "far": 1e-1, "farther": 1e-1}
ABOUT = {"near": {"load": 0.0}, "nearer": {"load": 0.2}, "far": {"load": 5.0}, "farther": {"load": 5.2}}


def _past(names: tuple[str, ...]) -> list[Past]:
    """Runs whose reward falls off with the distance to the family's own best rate, which its load decides."""
    rates = 10.0 ** np.linspace(-4.0, 0.0, 9)
    return [
        Past(name, {"rate": float(rate)}, scale * -abs(math.log10(rate / BEST[name])))
        for name, scale in zip(names, (1.0, 30.0, 2.0, 7.0), strict=False)
        for rate in rates
    ]


def test_a_new_family_gets_what_was_good_on_those_that_are_like_it() -> None:
    for new in BEST:
        others = tuple(name for name in BEST if name != new)
        found = propose(_past(others), ABOUT, new, {"rate": 1e-4})
        assert found.settings["rate"] == pytest.approx(BEST[new])
        assert found.gain > 0.5 and found.runs == 27 and found.tried == 9
        alike = max(found.likeness, key=lambda name: found.likeness[name])
        assert BEST[alike] == BEST[new] and found.likeness.keys() == set(others)


def test_defaults_are_proposed_where_they_are_the_best_that_is_known() -> None:
    found = propose(_past(("near", "far", "farther")), ABOUT, "nearer", {"rate": 1e-3})
    assert found.settings == {"rate": 1e-3} and found.gain == 0.0 and found.gain_sd == 0.0


def test_what_is_given_is_part_of_the_proposal_and_of_what_it_is_held_against() -> None:
    past = [
        Past(name, {"rate": rate, "episodes": episodes}, episodes / 100 - abs(math.log10(rate / 1e-3)))
        for name in ("near", "far")
        for rate in (1e-4, 1e-3, 1e-2)
        for episodes in (100, 400)
    ]
    found = propose(past, ABOUT, "nearer", {"rate": 1e-4, "episodes": 1}, {"episodes": 100})
    assert found.settings == {"rate": 1e-3, "episodes": 100}


def test_where_too_little_is_known_nothing_is_proposed() -> None:
    with pytest.raises(InvalidInput, match="of 0 trainings on 0 families 0 families have"):
        usable([])
    one = [Past("near", {"rate": x}, x) for x in (0.1, 0.2, 0.3)]
    with pytest.raises(InvalidInput, match="of 5 trainings on 2 families 1 families have at least 3"):
        usable([*one, Past("far", {}, 1.0), Past("far", {}, 2.0), Past("far", {}, math.nan)])
    same = [Past("far", {"rate": x}, 1.0) for x in (0.1, 0.2, 0.3)]
    with pytest.raises(InvalidInput, match="1 families have"):
        usable([*one, *same])


def test_settings_come_back_as_a_file_of_settings() -> None:
    for algorithm in (PPOConfig(hidden_size=(8, 4), context="statistics", entropy_coef=None), SACConfig()):
        training = TrainConfig(total_episodes=7, schedule="linear")
        file = unflat(flat(algorithm, training))
        assert parse(AlgorithmConfig, file.pop("algorithm"), "file") == algorithm
        assert parse(TrainConfig, file, "file") == training


def test_families_are_known_by_their_tasks() -> None:
    small, large = (family.about([TaskDistribution(nodes=n, deployments=2)]) for n in (2, 6))
    assert small == family.about([TaskDistribution(nodes=2, deployments=2)])
    assert small.keys() == large.keys() and all(map(math.isfinite, [*small.values(), *large.values()]))
    assert small["nodes"] < large["nodes"] and small["nodes, spread"] == 0.0 < small["cpu_time_ms, spread"]
    other = family.about([TaskDistribution(family="load_balancing", nodes=2, deployments=2)])
    c = likenesses(["a", "b", "c"], {"a": small, "b": large, "c": other})
    assert np.linalg.norm(c[0] - c[1]) > 0.1 and np.linalg.norm(c[0] - c[2]) > 0.1
