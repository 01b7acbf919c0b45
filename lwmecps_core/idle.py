"""Settings that do nothing beside the others that were chosen, so that whoever gives one is told."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from lwmecps_core.believing import Believing
from lwmecps_core.curricular import Curricular

_SLOTS = {"cell": ("ntm", "dnc")}
_CURRICULA = {"curriculum": ("replay", "mutate")}
ACTS_WITH: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    **{field.name: {"context": ("belief",)} for field in fields(Believing)},
    **dict.fromkeys(("memory_slots", "memory_width", "memory_reads"), _SLOTS),
    "cell_size": {"cell": ("lstm",)},
    **{field.name: _CURRICULA for field in fields(Curricular) if field.name != "curriculum"},
    "mutation_share": {"curriculum": ("mutate",)},
    "schedule_share": {"schedule": ("linear", "cosine")},
}
"""Setting → another setting of the same kind of run or algorithm, if it has it, and its values with which this acts."""
TUNED = ("hpa_calibrated", "hpa_tuned", "rate_rule")
"""Baselines that have settings which are tuned on other tasks."""


def idle(settings: Any) -> Iterator[tuple[str, str]]:
    """Names of the settings of a configuration that do nothing, and with what they would."""
    for field in fields(settings):
        for other, values in ACTS_WITH.get(field.name, {}).items():
            if (found := getattr(settings, other, values[0])) not in values:
                yield field.name, f"acts with {other}: {' or '.join(values)} only, not with {found}"
