"""Settings of meta-learners as they were written and stored before each had a class of its own."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

FORMER_NAMES = {"implicit_fomaml": "imaml"}
"""What users of the predecessor call a meta-learner → its name."""
FORMER_BAG = {"learn_inner_lr", "rate_lr", "multi_step_loss", "proximal", "solver_steps"}
"""What was stored and sent for every meta-learner before each had settings of its own."""


def with_learner(data: Mapping[str, Any], learners: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """Plain settings with the meta-learner's own, which may stand among them (`method: imaml`), under `learner`.

    `learners` is name → class of settings; `taken` are the names of settings that are no meta-learner's.
    """
    rest = dict(data)
    chosen = rest.pop("learner", {})
    if isinstance(chosen, str):
        chosen = {"name": chosen}
    elif not isinstance(chosen, Mapping):
        return dict(data)
    known = {field.name for cls in learners.values() for field in fields(cls)} - {"name", *taken}
    own = {name: rest.pop(name) for name in known & rest.keys()}
    name = str(rest.pop("method", chosen.get("name", "maml")))
    name = FORMER_NAMES.get(name, name)
    if own.keys() >= FORMER_BAG and name in learners:
        own = {key: value for key, value in own.items() if hasattr(learners[name], key)}
    return rest | {"learner": {**chosen, **own, "name": name}}
