"""`python -m services.env_service.warming`: sessions and workers tried, in a process that then gives its memory back.

It compiles what the simulator needs (the first time after an installation this takes some 10 s), and meets every
mistake that importing it would. That it went well for these sources, libraries and processor is kept in a file of the
user's cache; where none can be kept, it is tried at each start.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import structlog

import lwmecps_core
import services

LIBRARIES = ("torch", "numba", "llvmlite", "numpy", "scipy", "gymnasium")
MOST_NOTES = 8
"""Of several installations side by side; older ones go."""
_PROCESSOR = Path("/proc/cpuinfo")

log = structlog.get_logger(__name__)


def make_sure(tell: Callable[[str], object] = log.info, *, quiet: bool = False) -> bool:
    """Return at once if a former process went well and left what it compiled, else once one has tried: whether it did.

    `tell` hears that it takes a while; what that process says of mistakes is kept back if `quiet`.
    """
    if _still_there(stamp()):
        return True
    tell("compiling what the simulator needs")
    output = subprocess.DEVNULL if quiet else None
    done = subprocess.run([sys.executable, "-m", __name__], stdout=output, stderr=output, check=False)
    return done.returncode == 0


def stamp() -> Path:
    """The file that says so for the present sources, libraries and processor."""
    told = hashlib.sha256(repr((sys.version, *map(version, LIBRARIES), platform.machine())).encode())
    for package in (lwmecps_core, services):
        for file in sorted(Path(package.__path__[0]).rglob("*.py")):
            found = file.stat()
            told.update(f"{file} {found.st_size} {found.st_mtime_ns}".encode())
    with suppress(OSError):
        lines = _PROCESSOR.read_text(errors="replace").splitlines()
        told.update("".join(line for line in lines if line.startswith(("model name", "flags", "Features"))).encode())
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lwmecps" / f"warm-{told.hexdigest()[:32]}.json"


def _still_there(file: Path) -> bool:
    """Whether all that was compiled then is on disk."""
    try:
        return all(Path(kept).exists() for kept in json.loads(file.read_text()))
    except (OSError, ValueError):
        return False


def main() -> None:
    """Import and compile, and note that it went well."""
    from lwmecps_core import compiling
    from lwmecps_core.envs.vector import warm_up
    from services.env_service import cluster_session, collecting  # noqa: F401  (what workers and sessions import)

    warm_up()
    file, found = stamp(), [str(path) for path in compiling.on_disk()]
    if not found:
        return  # numba keeps nothing here
    with suppress(OSError):
        note(file, found)


def note(file: Path, found: list[str]) -> None:
    """Write into `file` what was compiled; of the notes of several installations the newest stay."""
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps(found))
    written.replace(file)
    notes = sorted(file.parent.glob("warm-*.json"), key=lambda other: other.stat().st_mtime_ns)
    for old in notes[:-MOST_NOTES]:
        old.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
