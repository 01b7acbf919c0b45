"""By which name a cell's results are kept."""

import hashlib
import json
from dataclasses import fields
from typing import Any

from lwmecps_core.believing import Believing
from lwmecps_core.config import dump
from lwmecps_core.curricular import Curricular
from lwmecps_core.run_config import PPOConfig

TASKS = "0014"
"""The decision that last changed which tasks a seed draws, or what they show: results from before are of others."""

USUAL = PPOConfig(learning_rate=3e-4, discount_factor=0.99, gae_lambda=0.95, n_epochs=4)
"""PPO's defaults as they were when the first results were kept: also cells that train nothing have an algorithm."""

LATER = {
    "optimiser": None,
    "memory_slots": 16,
    "memory_width": 16,
    "memory_reads": 1,
    "entropy_share": 1.0,
    "imitation_episodes": 0,
    "value_bins": 601,
}
"""Settings that came after results were kept, and what they were then."""


def key(cell: Any, *seeds: int) -> str:
    """A digest of all settings of a cell (a configuration) and of the seeds that all cells share."""
    text = json.dumps([known(dump(cell)), *seeds, TASKS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def known(plain: Any) -> Any:
    """Without what says no more than was so before there was a setting for it."""
    if not isinstance(plain, dict):
        return [known(x) for x in plain] if isinstance(plain, list) else plain
    idle = {field.name for field in fields(Curricular)} if plain.get("curriculum") == "uniform" else set()
    idle |= {field.name for field in fields(Believing)} if plain.get("context") != "belief" else set()
    return {k: known(v) for k, v in plain.items() if k not in idle and (k not in LATER or v != LATER[k])}
