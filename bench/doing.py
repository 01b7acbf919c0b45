"""Cells of a benchmark, done side by side; each is kept as soon as it is done, and the next call goes on from there."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from bench.processes import ROOT
from lwmecps_core.config import dump, parse


class AnyCell(Protocol):
    """What all cells have."""

    @property
    def key(self) -> str:
        """A digest of all settings."""

    @property
    def name(self) -> str:
        """As progress shows it."""


def one_thread() -> None:
    """Before anything else in a process of the pool, which alone needs PyTorch."""
    import torch

    torch.set_num_threads(1)


def do(
    wanted: Sequence[AnyCell],
    done: dict[str, Any],
    run: Callable[[Any], Any],
    path: Path,
    processes: int,
    console: Console,
) -> int:
    """Run cells and add what they find to `done` and to the file; returns how many failed."""
    failed, begun, done_at = 0, time.monotonic(), commit()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        running = {pool.submit(run, cell): cell for cell in wanted}
        for i, future in enumerate(as_completed(running), start=1):
            cell = running[future]
            line = f"{i:4d}/{len(wanted)} {time.monotonic() - begun:6.0f} s  {cell.name}"
            if error := future.exception():
                failed += 1
                console.print(f"{line}  [red]{type(error).__name__}: {error}[/red]", highlight=False)
                continue
            done[cell.key] = replace(future.result(), commit=done_at)
            write(done, path)
            console.print(line, highlight=False)
    return failed


def read(outcome: type[Any], path: Path) -> dict[str, Any]:
    """What `write` kept of cells whose findings are an `outcome`; nothing where there is no file."""
    if not path.is_file():
        return {}
    kept: dict[str, Any] = parse(dict[str, outcome], json.loads(path.read_text()), str(path))  # type: ignore[valid-type]
    return kept


def write(outcomes: Mapping[str, Any], path: Path) -> None:
    """One line for each cell, in the order of keys, so that files can be compared."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(_rounded(dump(outcomes[key])))}" for key in sorted(outcomes))
    unfinished = path.with_suffix(".part")
    unfinished.write_text("{\n" + lines + "\n}\n")
    unfinished.replace(path)


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return round(value, 5) if isinstance(value, float) else value


def commit() -> str:
    """What is checked out, in short."""
    found = subprocess.run(("git", "describe", "--always", "--dirty"), cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip()
