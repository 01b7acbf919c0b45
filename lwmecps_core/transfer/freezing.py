"""Which parameters learn when: pure functions from a parameter tree to the part of it that is trained."""

from lwmecps_core.algorithms.base import Params
from lwmecps_core.algorithms.networks import depth
from lwmecps_core.errors import InvalidInput, Violation


def hidden_layers(params: Params) -> int:
    """How many layers lie below the output layers of the deepest network."""
    depths = [depth(name) for names in params.values() for name in names]
    return 1 + max((d for d in depths if d is not None), default=-1)


def from_layer(params: Params, first: int) -> Params:
    """The parameters of layers from `first` on (0: all); output layers, and what belongs to no layer, are always in."""

    def trained(name: str) -> bool:
        layer = depth(name)
        return layer is None or layer >= first

    return {g: {n: leaf for n, leaf in names.items() if trained(n)} for g, names in params.items()}


def output_layers(params: Params) -> Params:
    """The parameters of output layers: what `feature_extraction` trains on top of the features."""
    return from_layer(params, hidden_layers(params))


def still_frozen(frozen_layers: int, step: int, total: int) -> int:
    """How many layers, from the input on, are still frozen in step `step` of `total`.

    The run has `frozen_layers` + 1 equal parts, and at the start of each but the first one layer thaws, the last frozen
    one first, so that layers with general knowledge are disturbed last.

    Source: gradual unfreezing, Howard and Ruder 2018, arXiv:1801.06146, section 3.3.
    """
    return frozen_layers - step * (frozen_layers + 1) // total


def check_frozen_layers(frozen_layers: int, params: Params) -> None:
    """Raise `InvalidInput` when more layers would start frozen than lie below the output layers."""
    layers = hidden_layers(params)
    if frozen_layers > layers:
        reason = f"the policy has {layers} layers below its output, so that {frozen_layers} can't start frozen"
        raise InvalidInput("settings", [Violation("frozen_layers", reason)])


def check_features(method: str, params: Params) -> None:
    """Raise `InvalidInput` when the policy (a table) has no layers whose outputs could serve as features."""
    if not hidden_layers(params):
        raise InvalidInput("settings", [Violation("method", f"{method} needs a policy with hidden layers")])
