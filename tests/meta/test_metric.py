"""Networks that learn a metric, against slow references, and what they learn."""

from dataclasses import replace
from math import exp, log, sqrt

import numpy as np
import pytest
import torch

from lwmecps_core.algorithms.networks import mlp
from lwmecps_core.context.portrait import quantities
from lwmecps_core.meta.metric import REGISTRY, Matching, MetricConfig, MetricName, Prototypical, Relation, descend, make
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.training.metric import labels, learn, simulated
from lwmecps_core.tree import leaves, tree_map, with_leaves

SMALL = MetricConfig(hidden_size=6, embedding_size=4, ways=3, shots=2, queries=2)
INPUTS = 5
NAMES: tuple[MetricName, ...] = ("prototypical", "matching", "relation")


def _episode(seed: int = 0, shots: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    support, query = (torch.randn(n, INPUTS, generator=generator).double() for n in (3 * shots, 6))
    kinds, wanted = labels(replace(SMALL, shots=shots))
    return support, kinds.double(), query, wanted


def _params(name: MetricName):  # type: ignore[no-untyped-def]
    params = make(replace(SMALL, name=name)).init(INPUTS, torch.Generator().manual_seed(7))
    return tree_map(lambda x: x.double(), params)


def _embedded(params, rows) -> list[list[float]]:  # type: ignore[no-untyped-def]
    return [mlp(params["embedding"], row[None])[0].tolist() for row in rows]


def _centres(params, support, kinds) -> list[list[float]]:  # type: ignore[no-untyped-def]
    embedded = _embedded(params, support)
    own = [[e for e, of in zip(embedded, kinds.tolist(), strict=True) if of[k]] for k in range(kinds.shape[1])]
    return [[sum(column) / len(some) for column in zip(*some, strict=True)] for some in own]


def _mean_loss(logits: list[list[float]], wanted: list[int]) -> float:
    return sum(log(sum(map(exp, row))) - row[k] for row, k in zip(logits, wanted, strict=True)) / len(wanted)


def test_prototypes_are_the_means_of_their_kinds_and_scores_minus_squared_distances() -> None:
    params, (support, kinds, query, wanted) = _params("prototypical"), _episode()
    centres = _centres(params, support, kinds)
    slow = [[-sum((a - b) ** 2 for a, b in zip(q, c, strict=True)) for c in centres] for q in _embedded(params, query)]
    metric = Prototypical(SMALL)
    scores = metric.scores(params, support, kinds, query)
    np.testing.assert_allclose(scores, slow, rtol=1e-6)
    assert float(metric.loss(scores, wanted)) == pytest.approx(_mean_loss(slow, wanted.tolist()), rel=1e-6)


def test_matching_attends_to_every_example_by_its_cosine() -> None:
    params, (support, kinds, query, wanted) = _params("matching"), _episode()

    def cosine(a: list[float], b: list[float]) -> float:
        lengths = sqrt(sum(x * x for x in a)) * sqrt(sum(x * x for x in b))
        return sum(x * y for x, y in zip(a, b, strict=True)) / lengths

    sharpness, slow = float(params["sharpness"]["log"].exp()), []
    assert sharpness == pytest.approx(10.0)
    for q in _embedded(params, query):
        weights = [exp(sharpness * cosine(q, e)) for e in _embedded(params, support)]
        of = [sum(w for w, own in zip(weights, kinds.tolist(), strict=True) if own[k]) for k in range(3)]
        slow.append([x / sum(weights) for x in of])
    scores = Matching(SMALL).scores(params, support, kinds, query)
    np.testing.assert_allclose(scores.exp(), slow, rtol=1e-6)
    loss = -np.mean([log(row[k]) for row, k in zip(slow, wanted.tolist(), strict=True)])
    assert float(Matching(SMALL).loss(scores, wanted)) == pytest.approx(loss, rel=1e-6)


def test_a_relation_is_a_network_of_both_embeddings_and_its_loss_a_squared_error() -> None:
    params, (support, kinds, query, wanted) = _params("relation"), _episode()
    centres, slow = _centres(params, support, kinds), []
    for q in _embedded(params, query):
        pairs = torch.tensor([c + q for c in centres], dtype=torch.float64)
        slow.append([1.0 / (1.0 + exp(-float(x))) for x in mlp(params["relation"], pairs)[:, 0]])
    scores = Relation(SMALL).scores(params, support, kinds, query)
    np.testing.assert_allclose(scores, slow, rtol=1e-6)
    errors = [(r - float(k == int(wanted[i]))) ** 2 for i, row in enumerate(slow) for k, r in enumerate(row)]
    assert float(Relation(SMALL).loss(scores, wanted)) == pytest.approx(float(np.mean(errors)), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name: MetricName) -> None:
    metric, params, episode = make(replace(SMALL, name=name)), _params(name), _episode(1)
    support, kinds, query, wanted = episode
    found = descend(metric, params, support, kinds, query, wanted)
    direction = [torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).double() for x in leaves(params)]

    def loss(step: float) -> float:
        moved = with_leaves(params, [x + step * d for x, d in zip(leaves(params), direction, strict=True)])
        return float(metric.loss(metric.scores(moved, support, kinds, query), wanted))

    slope = float(sum((g * d).sum() for g, d in zip(leaves(found), direction, strict=True)))
    assert slope == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_examples_and_the_axis_of_episodes_change_nothing(name: MetricName) -> None:
    metric, params = make(replace(SMALL, name=name)), _params(name)
    support, kinds, query, _ = _episode()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    scores = metric.scores(params, support, kinds, query)
    torch.testing.assert_close(metric.scores(params, support[order], kinds[order], query), scores)
    both = metric.scores(params, *(torch.stack([x, x]) for x in (support, kinds, query)))
    torch.testing.assert_close(both, torch.stack([scores, scores]))


@pytest.mark.parametrize("name", NAMES)
def test_distances_order_as_scores_of_one_example_each(name: MetricName) -> None:
    metric, params = make(replace(SMALL, name=name)), _params(name)
    support, _, query, _ = _episode()
    far = metric.distances(params, support, query[0])
    scores = metric.scores(params, support, torch.eye(len(support)).double(), query[:1])[0]
    assert (far >= 0.0).all() and far.argsort().tolist() == scores.argsort(descending=True).tolist()


def _led_astray() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Portraits of kinds that differ in two numbers, eight others being louder noise; standardised, and as they are."""
    usual, spread = np.array([(q.usual, q.spread) for q in quantities()]).T
    rng = np.random.default_rng(0)
    rows = np.zeros((40, 10, len(usual)))
    rows[..., :2] = rng.normal(0.0, 1.0, (40, 1, 2)) + 0.1 * rng.normal(0.0, 1.0, (40, 10, 2))
    rows[..., 2:10] = rng.normal(0.0, 1.5, (40, 10, 8))
    return rows, rows * spread + usual


@pytest.mark.parametrize("name", NAMES)
def test_what_matters_is_learnt_where_raw_distances_are_led_astray(name: MetricName) -> None:
    rows, portraits = _led_astray()
    cfg = MetricConfig(name=name, hidden_size=32, embedding_size=8, steps=100, learning_rate=1e-2, episodes_per_step=8)
    learnt, test = learn([portraits[:30]], cfg, 0), torch.from_numpy(rows[30:]).float()
    kinds, wanted = torch.eye(10).repeat_interleave(5, 0), torch.arange(10).repeat_interleave(5)
    support, query = test[:, :5].flatten(0, 1), test[:, 5:].flatten(0, 1)
    right = (make(cfg).scores(learnt.params, support, kinds, query).argmax(-1) == wanted).float().mean()
    raw = (torch.cdist(query, test[:, :5].mean(1)).argmin(-1) == wanted).float().mean()
    assert right > raw + 0.1


def test_a_seed_says_all_of_what_is_learnt() -> None:
    _, portraits = _led_astray()
    first, again, other = (leaves(learn([portraits], replace(SMALL, steps=3), seed).params) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_metric_is_learnt_from_simulated_fleets_of_any_version() -> None:
    size = TaskDistribution(env_id="lwmecps-v4", nodes=2, deployments=2, horizon=20)
    cfg = MetricConfig(hidden_size=4, embedding_size=2, ways=2, shots=2, queries=2, steps=2)
    one, again = (leaves(simulated(cfg, size, 3, fleets=2).params) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))


def test_every_name_has_its_network() -> None:
    assert set(REGISTRY) == set(NAMES)
