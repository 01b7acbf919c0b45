"""What tells results apart that are kept from before some settings existed."""

from dataclasses import fields
from typing import Any

from lwmecps_core.objective import Constrained
from lwmecps_core.run_config import PPOConfig

LATER = {field.name: getattr(Constrained(), field.name) for field in fields(Constrained)} | {  # type: ignore[arg-type]
    name: getattr(PPOConfig(), name) for name in ("head", "cell", "cell_size")
}
"""Settings that came after results were kept, and what they were then."""

MEANT = {"entropy_coef": 0.01}
"""Settings that were numbers where they may be left open now, and what they were then."""


def as_before(plain: Any) -> Any:
    """Plain settings without those that came later and are as they were."""
    if isinstance(plain, dict):
        kept = {k: v for k, v in plain.items() if k not in LATER or v != LATER[k]}
        return {k: MEANT[k] if v is None and k in MEANT else as_before(v) for k, v in kept.items()}
    return [as_before(v) for v in plain] if isinstance(plain, list) else plain
