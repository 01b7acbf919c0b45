"""By which name a cell's results are kept."""

import hashlib
import json
from typing import Any

from lwmecps_core.config import dump

TASKS = "0014"
"""The decision that last changed which tasks a seed draws, or what they show: results from before are of others."""


def key(cell: Any, *seeds: int) -> str:
    """A digest of all settings of a cell (a configuration) and of the seeds that all cells share."""
    text = json.dumps([dump(cell), *seeds, TASKS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
