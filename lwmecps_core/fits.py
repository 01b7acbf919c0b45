"""Whether a policy fits an environment: the one place that says so."""

from dataclasses import replace
from functools import lru_cache

import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import LEARNER, Algorithm, Extra, Params
from lwmecps_core.algorithms.sight import shown
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.policy import PolicyData
from lwmecps_core.run_config import AlgorithmConfig, fits_any_size
from lwmecps_core.specs import EnvSpec, entity_of, unlike

Shapes = dict[str, tuple[int, ...]]
MEANING = ("name", "context", "ignore_blocks", "network", "head", "cell", "bins")
"""Settings of an algorithm without which weights can't be read, though their shapes may be the same."""


def bound(policy: PolicyData, spec: EnvSpec, source: str, field: str) -> Algorithm:
    """The policy's algorithm, bound to the environment that it shall act in.

    Raises `InvalidInput` that names `source`, `field` and both environments when the policy doesn't fit there: it must
    have been made for the same version and features, and for as many nodes, deployments and choices unless its weights
    depend on no such number. The horizon is free.
    """
    algorithm = bound_by_record(policy.algorithm, policy.env_spec, spec, source, field)
    _check(_shapes(policy.params, policy.extra), policy.algorithm, policy.env_spec, spec, source, field)
    return algorithm


def bound_by_record(algorithm: AlgorithmConfig, made_for: EnvSpec, spec: EnvSpec, source: str, field: str) -> Algorithm:
    """As `bound`, where the weights of a policy are not at hand: they are taken for what its record says."""
    if not _same_size(shown(algorithm, made_for), shown(algorithm, spec)):
        if reason := _unmovable(algorithm, shown(algorithm, made_for), shown(algorithm, spec)):
            raise _refusal(reason, made_for, spec, source, field)
        _check(_fresh_shapes(algorithm, made_for), algorithm, made_for, spec, source, field)
    return algorithms.make(algorithm, spec)


def check_goes_on(
    theirs: AlgorithmConfig, made_for: EnvSpec, ours: AlgorithmConfig, spec: EnvSpec, source: str
) -> None:
    """Raise `InvalidInput` unless weights that `theirs` learnt in `made_for` may go on learning by `ours` in `spec`.

    What decides what a weight means must be the same in both (`MEANING`), and so must the shapes of all weights.
    """
    differing = [name for name in MEANING if getattr(theirs, name, None) != getattr(ours, name, None)]
    if differing:
        reason = "is {}, but {} where the policy's weights come from: they mean something else"
        wrong = {name: [_told(getattr(one, name, None)) for one in (ours, theirs)] for name in differing}
        raise InvalidInput(source, [Violation(f"algorithm.{n}", reason.format(*both)) for n, both in wrong.items()])
    _check(_fresh_shapes(theirs, spec), ours, made_for, spec, source, "policy_id")


def _told(value: object) -> str:
    return ", ".join(map(str, value)) or "empty" if isinstance(value, tuple) else str(value)


def described(spec: EnvSpec) -> str:
    """An environment in a few words, however large it is."""
    blocks = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in spec.blocks)
    choices = sorted(set(spec.nvec))
    numbers = f"{choices[0]} to {choices[-1]}" if len(choices) > 1 else "".join(map(str, choices))
    return f"{spec.env_id} ({blocks}; {spec.action_size} actions{f' of {numbers} choices' if choices else ''})"


def _same_size(made_for: EnvSpec, spec: EnvSpec) -> bool:
    return replace(spec, horizon=made_for.horizon) == made_for


def _unmovable(algorithm: AlgorithmConfig, made_for: EnvSpec, spec: EnvSpec) -> str:
    """Why no policy of the algorithm can move between environments that differ; empty if one may."""
    if spec.env_id != made_for.env_id:
        return "the version of the environment is another"
    if differ := unlike(made_for, spec):
        return f"it observes {differ}"
    if not fits_any_size(algorithm) or made_for.action_entity not in ("deployment", "pair"):
        return "only set networks, whose actions belong to deployments, act on clusters of another size"
    expected = _of_size(made_for, spec)
    for name in ("action_entity", "blocks", "nvec", "action_size"):
        if getattr(spec, name) != getattr(expected, name):
            return f"{name} would have to be those of {described(expected)}"
    return ""


def _of_size(made_for: EnvSpec, wanted: EnvSpec) -> EnvSpec:
    """`made_for` with the numbers of deployments, nodes and choices, and the horizon, of `wanted`."""
    rows = {entity_of(name): shape[0] for name, shape in wanted.blocks if shape}
    d, n = rows.get("deployment", 0), rows.get("node", 0)
    sizes: dict[str, tuple[int, ...]] = {"deployment": (d,), "node": (n,), "pair": (d, n)}
    actions = {"deployment": d, "pair": d * n}.get(made_for.action_entity, made_for.action_size)
    return replace(
        made_for,
        blocks=tuple((name, (*sizes.get(entity_of(name), shape[:-1]), *shape[-1:])) for name, shape in made_for.blocks),
        nvec=(wanted.nvec[:1] or made_for.nvec[:1]) * actions if made_for.discrete else (),
        action_size=actions,
        horizon=wanted.horizon,
    )


def _check(
    found: Shapes, algorithm: AlgorithmConfig, made_for: EnvSpec, spec: EnvSpec, source: str, field: str
) -> None:
    """Raise `InvalidInput` unless weights have the shapes that the algorithm's have in `spec`."""
    wanted = _fresh_shapes(algorithm, spec)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            reason = f"its {name} has the shape {found.get(name)}, not {wanted.get(name)}"
            raise _refusal(reason, made_for, spec, source, field)


@lru_cache(maxsize=256)
def _fresh_shapes(algorithm: AlgorithmConfig, spec: EnvSpec) -> Shapes:
    """The shapes of the algorithm's weights in `spec`."""
    return _shapes(*algorithms.make(algorithm, spec).init(torch.Generator()))


def _shapes(params: Params, extra: Extra) -> Shapes:
    groups = {f"{group}/{name}": tuple(x.shape) for group, net in params.items() for name, x in net.items()}
    return groups | {f"extra/{name}": tuple(x.shape) for name, x in extra.items() if not name.startswith(LEARNER)}


def _refusal(reason: str, made_for: EnvSpec, spec: EnvSpec, source: str, field: str) -> InvalidInput:
    # The reason first: a status message has room for little more than two environments.
    text = f"{reason}: the policy was made for {described(made_for)} and can't act in {described(spec)}"
    return InvalidInput(source, [Violation(field, text)])
