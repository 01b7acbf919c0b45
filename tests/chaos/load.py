"""Load: many sessions, a long queue, long lists, and a soak; latencies stand beside those of an empty echo."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.databases import postgresql_binaries
from tests.chaos.fuzzing import NO_WORK
from tests.chaos.latency import echo_server
from tests.chaos.load_registry import list_tasks, queue_runs
from tests.chaos.load_sessions import step_sessions
from tests.chaos.soak import soak
from tests.chaos.system import running

SOAK_S_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    sessions: int = 200
    steps: int = 100
    runs: int = 1_000
    tasks: int = 10_000
    threads: int = 16
    listers: int = 4


def press(folder: Path, hours: float, *, postgres: bool = False, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Sessions once, runs and tasks on every database that is installed, `hours` of soak on one; what was found."""
    began, found, size = time.monotonic(), dict[str, Any](), Size()
    with running(folder, learners=1, more=NO_WORK) as system, echo_server() as echo:
        found["sessions"] = step_sessions(
            system.clients, echo, sessions=size.sessions, steps=size.steps, threads=size.threads
        )
        say(f"sessions: {found['sessions']}")
        found["sqlite"] = fill(system.clients, echo, size)
        say(f"sqlite: {found['sqlite']}")
    if postgresql_binaries():
        with running(folder, learners=1, more=NO_WORK, postgres=True) as system, echo_server() as echo:
            found["postgresql"] = fill(system.clients, echo, size)
            say(f"postgresql: {found['postgresql']}")
    with running(folder, postgres=postgres) as system:
        found["soak"] = soak(system, hours, max(60.0, hours * SOAK_S_PER_HOUR), say)
    held = [found["soak"]["right"], found["soak"]["flat"], found["sessions"]["holds"]]
    held += [part["holds"] for name in ("sqlite", "postgresql") for part in found.get(name, {}).values()]
    return found | {"holds": all(held), "wall_s": round(time.monotonic() - began, 1)}


def fill(clients: Any, echo: Any, size: Size) -> dict[str, Any]:
    """Runs and tasks in one registry."""
    return {
        "runs": queue_runs(clients, echo, runs=size.runs, threads=size.threads),
        "tasks": list_tasks(clients, echo, tasks=size.tasks, threads=size.threads, listers=size.listers),
    }
