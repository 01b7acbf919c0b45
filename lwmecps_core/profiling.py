"""Where the time of some work goes: Python's own profiler, in files that pstats, SnakeViz and others read."""

import cProfile
import logging
import pstats
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)
DEAREST = 10


@dataclass(frozen=True)
class Dear:
    """A function and what it took: how often it was called, in itself, and with all that it called."""

    function: str
    calls: int
    own_s: float
    total_s: float


@contextmanager
def profiled(file: Path) -> Iterator[None]:
    """Profile what this thread does in the body, and write it to `file`, on top of what an earlier part wrote there.

    From Python 3.12 on one profiler at a time works in a process: where another does, nothing is written. A file that
    can't be written is told to the log: who wants to know where time goes mustn't lose the work for it.
    """
    profile = cProfile.Profile()
    try:
        profile.enable()
    except ValueError as error:
        log.warning("no profile in %s: %s", file, error)
        yield
        return
    try:
        yield
    finally:
        profile.disable()
        try:
            _write(profile, file)
        except OSError as error:
            log.warning("no profile in %s: %s", file, error)


def dearest(file: Path, count: int = DEAREST) -> list[Dear]:
    """The functions in which most time passed, that in what they call not counted, the dearest first."""
    found = [
        Dear(_named(*where), calls, own_s, total_s)
        for where, (_, calls, own_s, total_s, _) in pstats.Stats(str(file)).stats.items()  # type: ignore[attr-defined]
    ]
    return sorted(found, key=lambda dear: -dear.own_s)[:count]


def _write(profile: cProfile.Profile, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    stats = pstats.Stats(profile)
    if file.exists():
        stats.add(str(file))
    stats.dump_stats(str(file))


def _named(path: str, line: int, function: str) -> str:
    """A function in a few words: its file from the package on, its line and name."""
    if path == "~":  # built in
        return function
    parts = Path(path).parts
    roots = ("site-packages", "lwmecps_core", "services", "protos")
    at = max((i + (part == "site-packages") for i, part in enumerate(parts) if part in roots), default=len(parts) - 2)
    return f"{'/'.join(parts[max(at, 0) :])}:{line}({function})"
