"""By which name a cell's results are kept."""

import hashlib
import json
from dataclasses import fields
from typing import Any

from lwmecps_core.config import dump
from lwmecps_core.curricular import Curricular

TASKS = "0014"
"""The decision that last changed which tasks a seed draws, or what they show: results from before are of others."""


def key(cell: Any, *seeds: int) -> str:
    """A digest of all settings of a cell (a configuration) and of the seeds that all cells share."""
    text = json.dumps([_counting(dump(cell)), *seeds, TASKS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _counting(plain: Any) -> Any:
    """Without the settings of a curriculum where there is none: results from before there were any still count."""
    if not isinstance(plain, dict):
        return [_counting(x) for x in plain] if isinstance(plain, list) else plain
    idle = {field.name for field in fields(Curricular)} if plain.get("curriculum") == "uniform" else set()
    return {name: _counting(value) for name, value in plain.items() if name not in idle}
