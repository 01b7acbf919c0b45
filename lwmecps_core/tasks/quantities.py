"""Amounts with a unit, as Kubernetes and people write them: `8Gi`, `1500m`, `10s`, `250ms`.

What a number means is a matter of its key: the unit is in the key's name (`_ms`, `_mib`), or, for the keys of the
predecessor, in `UNITS`. A bare number is in that unit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lwmecps_core.errors import InvalidInput, Violation

_BINARY = {prefix: 2.0 ** (10 * (i + 1)) for i, prefix in enumerate("KMGTPE")}
_DECIMAL = {prefix: 10.0 ** (3 * (i + 1)) for i, prefix in enumerate(("k", "M", "G", "T", "P", "E"))}

CPU = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "core": 1.0, "cores": 1.0}
"""Cores."""
TIME = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
"""Seconds."""
MEMORY = (
    {f"{p}i{b}": scale for p, scale in _BINARY.items() for b in ("", "B")}
    | {f"{p}{b}": scale for p, scale in _DECIMAL.items() for b in ("", "B")}
    | {"KB": 1e3}
)
"""Bytes."""
RATE = {f"{p}{b}": s for p, s in _DECIMAL.items() for b in ("", "bps", "bit/s", "b/s")} | {"Kbps": 1e3, "Kbit/s": 1e3}
"""Bits per second; Kubernetes writes `10M`."""
DISK = {f"{p}B/s": s for p, s in _DECIMAL.items()} | {f"{p}iB/s": s for p, s in _BINARY.items()} | {"KB/s": 1e3}
"""Bytes per second."""


@dataclass(frozen=True)
class Unit:
    """The unit of a key: its name, how many base units of `scale` it is, and an amount as an example."""

    name: str
    scale: Mapping[str, float]
    base: float
    example: str


CORES = Unit("cores", CPU, 1.0, "1.5, or 1500m")
MILLICORES = Unit("millicores", CPU, 1e-3, "1500, or 1500m")
MIB = Unit("MiB", MEMORY, 2.0**20, "16384, or 16Gi")
MBPS = Unit("Mbit/s", RATE, 1e6, "1000, or 1Gbit/s")
MB_PER_S = Unit("MB/s", DISK, 1e6, "500, or 500MB/s")
MS = Unit("ms", TIME, 1e-3, "250, or 250ms")
S = Unit("s", TIME, 1.0, "10, or 10s")

UNITS = {
    "cpu": CORES,
    "ram": MIB,
    "tx_bandwidth": MBPS,
    "rx_bandwidth": MBPS,
    "read_disks_bandwidth": MB_PER_S,
    "write_disks_bandwidth": MB_PER_S,
    "avg_latency": MS,
    "cpu_requirement": MILLICORES,
    "memory_requirement": MIB,
    "latency_threshold": MS,
}
"""Keys whose name has no unit."""
ENDINGS = {"_ms": MS, "_s": S, "_mib": MIB, "_millicores": MILLICORES, "_mbps": MBPS}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_AMOUNT = re.compile(rf"({_NUMBER})\s*([A-Za-zµ][A-Za-zµ/]*)")


def without_units(data: Any, source: str, units: Mapping[str, Unit] = UNITS) -> Any:
    """Plain data with every amount that has a unit as a number in the unit of its key.

    Raises `InvalidInput` naming `source` and, for every text that is no such amount, its path, the unit and an example.
    """
    problems: list[Violation] = []
    plain = _converted(data, "", None, units, problems)
    if problems:
        raise InvalidInput(source, problems)
    return plain


def amount(text: str, unit: Unit) -> float | None:
    """An amount in `unit`, None if `text` is none; times may be made of several (`1m30s`)."""
    text = text.strip()
    if re.fullmatch(_NUMBER, text):
        return float(text)
    parts = _AMOUNT.findall(text)
    whole = "".join(number + name for number, name in parts) == re.sub(r"\s", "", text)
    if not parts or not whole or (len(parts) > 1 and unit.scale is not TIME):
        return None
    if any(name not in unit.scale for _, name in parts):
        return None
    # Rounded, because 1500m is 1500 millicores and not a bit less.
    return float(f"{sum(float(number) * unit.scale[name] for number, name in parts) / unit.base:.12g}")


def _converted(value: Any, path: str, unit: Unit | None, units: Mapping[str, Unit], problems: list[Violation]) -> Any:
    if isinstance(value, dict):
        return {
            key: _converted(inner, f"{path}.{key}".lstrip("."), _unit(key, units), units, problems)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_converted(inner, f"{path}[{i}]", unit, units, problems) for i, inner in enumerate(value)]
    if unit is None or not isinstance(value, str | bool):
        return value
    if isinstance(value, bool) or (number := amount(value, unit)) is None:
        reason = f"{value!r} is no number of {unit.name}, and no amount with a unit: write, for example, {unit.example}"
        problems.append(Violation(path, reason))
        return None
    return number


def _unit(key: Any, units: Mapping[str, Unit]) -> Unit | None:
    if key in units:
        return units[key]
    return next((unit for ending, unit in ENDINGS.items() if str(key).endswith(ending)), None)
