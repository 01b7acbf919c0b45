"""Inner steps: gradient steps on support data, one set of parameters per task."""

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.tree import gradients, tree_map


def inner_step(params: Params, rates: Params, grads: Params) -> Params:
    """θ′ = θ − α ∘ ∇L for the groups that have rates and gradients; the others stay (Finn et al. 2017,
    arXiv:1703.03400, equation 1; α per parameter: Meta-SGD, Li et al. 2017, arXiv:1707.09835).
    """
    stepped = {
        g: {n: leaf - rates[g][n] * grads[g][n] for n, leaf in names.items()}
        for g, names in params.items()
        if g in rates and g in grads
    }
    return params | stepped


def adapted_once(
    algo: Algorithm,
    params: Params,
    extra: Extra,
    rates: Params,
    batch: Batch,
    *,
    start: Params | None = None,
    proximal: float = 0.0,
) -> Params:
    """One inner step whose result is outside every graph: what a policy does when it meets a new cluster.

    With `start` the step also descends `proximal`/2 · ‖params − start‖² (Rajeswaran et al. 2019, arXiv:1909.04630,
    equation 3).
    """
    fresh = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
    grads = gradients(algo.losses(fresh, extra, batch), fresh, rates)
    if start is not None:
        grads = {
            g: {n: x + proximal * (fresh[g][n] - start[g][n]) for n, x in names.items()} for g, names in grads.items()
        }
    return tree_map(lambda leaf: leaf.detach(), inner_step(fresh, rates, grads))
