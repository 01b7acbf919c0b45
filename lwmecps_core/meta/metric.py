"""Networks that learn what makes clusters alike: which of several kinds something is of, from a few examples of each.

An episode shows S labelled examples (the support) and Q others to be told apart (the query). All three embed by one
network f, a multi-layer perceptron, and differ in how they compare: `Prototypical`, `Matching`, `Relation`. A row that
is compared is a portrait (`lwmecps_core.context.portrait`), whose length depends on no cluster's size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lwmecps_core.algorithms.networks import init_mlp, mlp
from lwmecps_core.config import config
from lwmecps_core.run_config import Count
from lwmecps_core.specs import NonNegative, Positive
from lwmecps_core.tree import Tree, leaves, with_leaves

MetricName = Literal["prototypical", "matching", "relation"]
Size = Annotated[int, Field(ge=1, le=256)]
FIRST_SHARPNESS = 10.0
SMALLEST = 1e-12


@config
class MetricConfig:
    """A network that learns a metric, and the episodes that it learns from."""

    name: MetricName = "prototypical"
    """How two clusters are compared: distance to the mean of a kind (prototypical), attention to each example
    (matching), or by a network (relation)."""
    hidden_size: Size = 64
    """Units of the one hidden layer of each network."""
    embedding_size: Size = 32
    """Numbers that a cluster becomes."""
    ways: Count = 5
    """Kinds in an episode."""
    shots: Count = 5
    """Examples of each kind."""
    queries: Count = 5
    """Clusters of each kind that are to be told apart."""
    episodes_per_step: Count = 16
    """Episodes that a step of Adam is about."""
    steps: Count = 600
    """Steps in all."""
    learning_rate: Positive = 1e-3
    """Step size of Adam."""
    noise: NonNegative = 0.1
    """Standard deviation of what is added to every standardised quantity in training."""


class Metric(Protocol):
    """A way to compare, as pure functions of a parameter tree."""

    def init(self, inputs: int, generator: torch.Generator) -> Tree:
        """Weights for rows of `inputs` numbers."""

    def scores(self, params: Tree, support: Tensor, kinds: Tensor, query: Tensor) -> Tensor:
        """How much each query is like each kind, the higher the more: support `[..., S, F]`, kinds `[..., S, K]` (1
        where an example is of a kind, else 0), query `[..., Q, F]` → `[..., Q, K]`.
        """

    def loss(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """What training descends, from scores `[..., Q, K]` and the right kinds `[..., Q]`: a scalar."""

    def distances(self, params: Tree, known: Tensor, one: Tensor) -> Tensor:
        """How unlike `one` `[F]` each of `known` `[N, F]` is, at least 0: `[N]`."""


@dataclass(frozen=True)
class Prototypical:
    """Distance to the mean of each kind.

    c_k = mean of f(x) over the examples of k; p(k | x) = softmax over k of −‖f(x) − c_k‖²; the loss is −log p of the
    right kind. Source: Snell, Swersky and Zemel 2017, arXiv:1703.05175, equations 1 and 2.
    """

    cfg: MetricConfig

    def init(self, inputs: int, generator: torch.Generator) -> Tree:
        return {"embedding": _embedding(self.cfg, inputs, generator)}

    def scores(self, params: Tree, support: Tensor, kinds: Tensor, query: Tensor) -> Tensor:
        centres = _means(kinds, mlp(params["embedding"], support))
        return -_squared(mlp(params["embedding"], query), centres)

    def loss(self, scores: Tensor, wanted: Tensor) -> Tensor:
        return _cross_entropy(scores, wanted)

    def distances(self, params: Tree, known: Tensor, one: Tensor) -> Tensor:
        """‖f(x) − f(known)‖."""
        own, others = mlp(params["embedding"], one[None]), mlp(params["embedding"], known)
        return _squared(own, others)[0].sqrt()


@dataclass(frozen=True)
class Matching:
    """Attention to each example.

    a(x, x_i) = softmax over i of s·cos(f(x), f(x_i)); p(k | x) = Σ a(x, x_i) over the examples of k; the loss is −log p
    of the right kind. Source: Vinyals et al. 2016, arXiv:1606.04080, equations 1 and 2, without its embedding of an
    example by all others ("full context"). The factor s is learnt, and 1 there: cosines, which lie within ±1, can then
    hardly prefer one of 25 examples.
    """

    cfg: MetricConfig

    def init(self, inputs: int, generator: torch.Generator) -> Tree:
        sharpness = {"log": torch.tensor([FIRST_SHARPNESS]).log()}
        return {"embedding": _embedding(self.cfg, inputs, generator), "sharpness": sharpness}

    def scores(self, params: Tree, support: Tensor, kinds: Tensor, query: Tensor) -> Tensor:
        """Logarithms of p."""
        alike = _cosines(mlp(params["embedding"], query), mlp(params["embedding"], support))
        attention = torch.softmax(params["sharpness"]["log"].exp() * alike, -1)
        return (attention @ kinds).clamp_min(SMALLEST).log()

    def loss(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy; `scores` are normalised already, which changes nothing."""
        return _cross_entropy(scores, wanted)

    def distances(self, params: Tree, known: Tensor, one: Tensor) -> Tensor:
        """1 − cos(f(x), f(known))."""
        own, others = mlp(params["embedding"], one[None]), mlp(params["embedding"], known)
        return (1.0 - _cosines(own, others)[0]).clamp_min(0.0)


@dataclass(frozen=True)
class Relation:
    """A network says how alike two embeddings are.

    r(x, k) = sigmoid of g([mean of f(x_i) over the examples of k, f(x)]); the loss is the mean of (r − 1)² for the
    right kind and of r² for the others. Source: Sung et al. 2018, arXiv:1711.06025, equations 1 and 2; it adds up the
    embeddings of several examples, we take their mean, so that their number need not be that of training.
    """

    cfg: MetricConfig

    def init(self, inputs: int, generator: torch.Generator) -> Tree:
        cfg = self.cfg
        relation = init_mlp(2 * cfg.embedding_size, (cfg.hidden_size,), 1, 1.0, generator)
        return {"embedding": _embedding(cfg, inputs, generator), "relation": relation}

    def scores(self, params: Tree, support: Tensor, kinds: Tensor, query: Tensor) -> Tensor:
        """r, within [0, 1]."""
        centres = _means(kinds, mlp(params["embedding"], support))
        return self._related(params, mlp(params["embedding"], query), centres)

    def loss(self, scores: Tensor, wanted: Tensor) -> Tensor:
        right = functional.one_hot(wanted, scores.shape[-1]).to(scores.dtype)
        return (scores - right).square().mean()

    def distances(self, params: Tree, known: Tensor, one: Tensor) -> Tensor:
        """1 − r."""
        own, others = mlp(params["embedding"], one[None]), mlp(params["embedding"], known)
        return 1.0 - self._related(params, own, others)[0]

    @staticmethod
    def _related(params: Tree, query: Tensor, centres: Tensor) -> Tensor:
        """Embeddings `[..., Q, E]` and `[..., K, E]` → `[..., Q, K]`."""
        shape = (*query.shape[:-1], centres.shape[-2], query.shape[-1])
        pairs = torch.cat([centres.unsqueeze(-3).expand(shape), query.unsqueeze(-2).expand(shape)], -1)
        return torch.sigmoid(mlp(params["relation"], pairs.flatten(-3, -2)).reshape(shape[:-1]))


REGISTRY: Mapping[MetricName, type[Prototypical] | type[Matching] | type[Relation]] = {
    "prototypical": Prototypical,
    "matching": Matching,
    "relation": Relation,
}


def make(cfg: MetricConfig) -> Metric:
    """The network of that name."""
    return REGISTRY[cfg.name](cfg)


def descend(metric: Metric, params: Tree, support: Tensor, kinds: Tensor, query: Tensor, wanted: Tensor) -> Tree:
    """The gradient of the loss of some episodes, `[E, ...]` each."""
    asked = with_leaves(params, [leaf.detach().requires_grad_() for leaf in leaves(params)])
    loss = metric.loss(metric.scores(asked, support, kinds, query), wanted)
    return with_leaves(params, torch.autograd.grad(loss, leaves(asked)))


def _embedding(cfg: MetricConfig, inputs: int, generator: torch.Generator) -> dict[str, Tensor]:
    return init_mlp(inputs, (cfg.hidden_size,), cfg.embedding_size, 1.0, generator)


def _means(kinds: Tensor, embedded: Tensor) -> Tensor:
    """Means over the examples of each kind: `[..., S, K]` and `[..., S, E]` → `[..., K, E]`."""
    return kinds.transpose(-1, -2) @ embedded / kinds.sum(-2).unsqueeze(-1)


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances: `[..., Q, E]` and `[..., K, E]` → `[..., Q, K]`."""
    return (a.unsqueeze(-2) - b.unsqueeze(-3)).square().sum(-1)


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    """`[..., Q, E]` and `[..., K, E]` → `[..., Q, K]`."""
    return functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).transpose(-1, -2)


def _cross_entropy(scores: Tensor, wanted: Tensor) -> Tensor:
    return functional.cross_entropy(scores.flatten(0, -2), wanted.flatten())
