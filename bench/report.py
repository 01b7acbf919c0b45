"""What a benchmark hands back, the table of ratios, and the result files."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

PACKAGES = (
    "dm-env-rpc",
    "grpcio",
    "gymnasium",
    "numba",
    "numpy",
    "protobuf",
    "protovalidate",
    "redis",
    "hiredis",
    "torch",
)


@dataclass(frozen=True)
class BenchRow:
    """One line of the results: `value` `unit` was measured, which is `ratio` times `against`.

    `met` says whether `value` or `ratio`, whichever the floor is about, reached `floor` (for durations: stayed under
    it). `detail` goes to the metadata file.
    """

    name: str
    value: float
    unit: str
    ratio: float | None
    against: str
    floor: str
    met: bool
    detail: Mapping[str, Any] = field(default_factory=dict)


def write(rows: Sequence[BenchRow], seeds: Mapping[str, int], path: Path) -> None:
    """Write the rows to `path`, and machine, versions, seeds and details to `<path>.meta.json` beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [{k: v for k, v in asdict(row).items() if k != "detail"} for row in rows]
    path.write_text(json.dumps(lines, indent=2) + "\n")
    meta = {
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "seeds": dict(seeds),
        "details": {row.name: row.detail for row in rows},
    }
    path.with_suffix(".meta.json").write_text(json.dumps(meta, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Processor, number of usable cores, memory, operating system and load when asked."""
    cpu = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "unknown")
    memory_kib = next((int(x.split()[1]) for x in _lines("/proc/meminfo") if x.startswith("MemTotal")), 0)
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": memory_kib // 1024,
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": os.getloadavg()[0],
    }


def table(rows: Sequence[BenchRow]) -> Table:
    """The rows as a table for people."""
    out = Table(title="lwmecps benchmarks: ratios measured within this run")
    for column, justify in (
        ("name", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("ratio", "right"),
        ("against", "left"),
        ("floor", "left"),
        ("met", "center"),
    ):
        out.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        met = "[green]yes[/green]" if row.met else "[red]no[/red]"
        out.add_row(
            row.name,
            f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.3g}",
            row.unit,
            ratio,
            row.against,
            row.floor,
            met,
        )
    return out


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
